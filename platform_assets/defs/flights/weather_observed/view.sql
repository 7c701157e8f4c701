SELECT
    origin,
    observed_at,
    (temperature_f - 32) / 1.8 AS temperature_c,
    humidity_percent,
    wind_speed_mph * 0.44704 AS wind_speed_ms,
    coalesce(wind_gust_mph, wind_speed_mph) * 0.44704 AS wind_gust_ms,
    precipitation_in * 25.4 AS precipitation_mm,
    visibility_mi * 1.609344 AS visibility_km,
    pressure_mbar
FROM flights.weather

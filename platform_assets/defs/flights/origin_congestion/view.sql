SELECT DISTINCT
    origin,
    departed_at,
    count(*) OVER last_3h AS departures_3h,
    avg(CAST(departure_delay_min AS DOUBLE)) OVER last_3h AS mean_departure_delay_3h_min,
    avg(CAST(departure_delay_min AS DOUBLE)) OVER last_24h AS mean_departure_delay_24h_min
FROM (
    SELECT
        origin,
        departure_delay_min,
        scheduled_departure_at + make_dt_interval(0, 0, departure_delay_min) AS departed_at
    FROM flights.flights
    WHERE departure_delay_min IS NOT NULL
)
WINDOW
    last_3h AS (PARTITION BY origin ORDER BY departed_at RANGE BETWEEN INTERVAL 3 HOURS PRECEDING AND CURRENT ROW),
    last_24h AS (PARTITION BY origin ORDER BY departed_at RANGE BETWEEN INTERVAL 24 HOURS PRECEDING AND CURRENT ROW)

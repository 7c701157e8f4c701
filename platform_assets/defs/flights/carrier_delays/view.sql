SELECT DISTINCT
    carrier,
    origin,
    landed_at,
    avg(CAST(arrival_delay_min AS DOUBLE)) OVER day AS mean_arrival_delay_24h_min,
    avg(CAST(is_late AS DOUBLE)) OVER day AS late_share_24h,
    avg(CAST(is_late AS DOUBLE)) OVER week AS late_share_7d
FROM (SELECT *, known_at AS landed_at FROM flights.arrival_outcomes)
WINDOW
    day AS (PARTITION BY carrier, origin ORDER BY landed_at RANGE BETWEEN INTERVAL 24 HOURS PRECEDING AND CURRENT ROW),
    week AS (PARTITION BY carrier, origin ORDER BY landed_at RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND CURRENT ROW)

SELECT DISTINCT
    origin,
    dest,
    landed_at,
    avg(CAST(arrival_delay_min AS DOUBLE)) OVER week AS mean_arrival_delay_7d_min,
    avg(CAST(is_late AS DOUBLE)) OVER week AS late_share_7d,
    count(*) OVER week AS landings_7d
FROM (SELECT *, known_at AS landed_at FROM flights.arrival_outcomes)
WINDOW week AS (PARTITION BY origin, dest ORDER BY landed_at RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND CURRENT ROW)

SELECT
    tailnum,
    known_at AS landed_at,
    max(CAST(arrival_delay_min AS DOUBLE)) AS previous_arrival_delay_min,
    max(legs_7d) AS legs_7d
FROM (
    SELECT
        *,
        count(*) OVER (
            PARTITION BY tailnum ORDER BY known_at RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND CURRENT ROW
        ) AS legs_7d
    FROM flights.arrival_outcomes
)
GROUP BY tailnum, known_at

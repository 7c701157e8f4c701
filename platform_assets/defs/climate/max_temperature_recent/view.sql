-- The newest values of a series. Windows count steps, so that a missing row shifts nothing: it is left out of the averages.
SELECT
    series,
    date_at,
    value AS last_value,
    max(value) OVER before AS value_before,
    avg(value) OVER short AS mean_7,
    avg(value) OVER long AS mean_28,
    stddev_samp(value) OVER long AS deviation_28,
    avg(value) OVER short - avg(value) OVER earlier AS change_7
FROM (
    SELECT
        'seattle_weather' AS series,
        CAST(date AS TIMESTAMP) AS date_at,
        CAST(temp_max AS DOUBLE) AS value,
        unix_timestamp(CAST(date AS TIMESTAMP)) DIV 86400 AS step
    FROM climate.seattle_weather
    WHERE temp_max IS NOT NULL AND date IS NOT NULL
)
WINDOW
    before AS (PARTITION BY series ORDER BY step RANGE BETWEEN 1 PRECEDING AND 1 PRECEDING),
    short AS (PARTITION BY series ORDER BY step RANGE BETWEEN 6 PRECEDING AND CURRENT ROW),
    earlier AS (PARTITION BY series ORDER BY step RANGE BETWEEN 13 PRECEDING AND 7 PRECEDING),
    long AS (PARTITION BY series ORDER BY step RANGE BETWEEN 27 PRECEDING AND CURRENT ROW)

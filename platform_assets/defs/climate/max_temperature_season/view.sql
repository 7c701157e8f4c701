-- There is no season: the newest value is the naive forecast, and those before it say how much it moves.
SELECT
    series,
    season_phase,
    date_at,
    value AS value_a_season_ago,
    avg(value) OVER seasons AS mean_of_4_seasons,
    max(value) OVER before AS value_two_seasons_ago
FROM (
    SELECT *, step % 1 AS season_phase
    FROM (
        SELECT
            'seattle_weather' AS series,
            CAST(date AS TIMESTAMP) AS date_at,
            CAST(temp_max AS DOUBLE) AS value,
            unix_timestamp(CAST(date AS TIMESTAMP)) DIV 86400 AS step
        FROM climate.seattle_weather
        WHERE temp_max IS NOT NULL AND date IS NOT NULL
    )
)
WINDOW
    seasons AS (PARTITION BY series, season_phase ORDER BY step ROWS BETWEEN 3 PRECEDING AND CURRENT ROW),
    before AS (PARTITION BY series, season_phase ORDER BY step ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)

-- Who is asked about, and when: every series at every row of climate.seattle_weather, for each of the next 7 steps.
-- The newest rows ask about times that have no value yet: they are predicted.
SELECT
    'seattle_weather' AS series,
    CAST(date AS TIMESTAMP) + steps_ahead * INTERVAL 1 DAY AS target_at,
    steps_ahead,
    (unix_timestamp(CAST(date AS TIMESTAMP)) DIV 86400 + steps_ahead) % 1 AS season_phase,
    CAST(date AS TIMESTAMP) AS predict_at
FROM climate.seattle_weather
CROSS JOIN (SELECT explode(sequence(1, 7)) AS steps_ahead)
WHERE temp_max IS NOT NULL AND date IS NOT NULL

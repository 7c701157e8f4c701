SELECT
    'seattle_weather' AS series,
    CAST(date AS TIMESTAMP) AS target_at,
    CAST(temp_max AS DOUBLE) AS temp_max
FROM climate.seattle_weather
WHERE temp_max IS NOT NULL

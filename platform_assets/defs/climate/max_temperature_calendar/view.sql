-- What is known of a time beforehand: how far ahead it is, and the calendar. Holidays and plans belong here, too.
SELECT DISTINCT
    target_at,
    steps_ahead,
    steps_ahead AS steps,
    CAST(dayofweek(target_at) AS STRING) AS weekday,
    CAST(month(target_at) AS STRING) AS month_of_year
FROM (
    SELECT CAST(date AS TIMESTAMP) + steps_ahead * INTERVAL 1 DAY AS target_at, steps_ahead
    FROM climate.seattle_weather
    CROSS JOIN (SELECT explode(sequence(1, 7)) AS steps_ahead)
    WHERE temp_max IS NOT NULL AND date IS NOT NULL
)

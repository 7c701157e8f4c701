WITH holidays AS (
    SELECT explode(array(
        DATE '2013-01-01', DATE '2013-05-27', DATE '2013-07-04', DATE '2013-09-02', DATE '2013-11-28', DATE '2013-12-25', DATE '2014-01-01'
    )) AS holiday
),
distances AS (
    SELECT departure_date, min(abs(datediff(departure_date, holiday))) AS days_to_holiday
    FROM (SELECT DISTINCT departure_date FROM flights.flights) CROSS JOIN holidays
    GROUP BY departure_date
)
SELECT
    f.flight_id,
    f.departure_hour,
    dayofweek(f.departure_date) AS day_of_week,
    dayofyear(f.departure_date) AS day_of_year,
    d.days_to_holiday,
    f.distance_mi * 1.609344 AS distance_km,
    count(*) OVER (PARTITION BY f.origin, f.departure_date, f.departure_hour) AS scheduled_departures_same_hour,
    CAST(year(f.departure_date) - p.built_year AS DOUBLE) AS aircraft_age_years,
    p.engine_type
FROM flights.flights AS f
JOIN distances AS d ON d.departure_date = f.departure_date
LEFT JOIN flights.planes AS p ON p.tailnum = f.tailnum

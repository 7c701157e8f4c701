-- Scheduled arrival is local at the destination. It is on the day of departure, or the day after where that would be before departure.
-- The four destinations missing from the airports table are in Puerto Rico and the Virgin Islands, which share one time zone.
WITH arrivals AS (
    SELECT
        f.*,
        make_timestamp(
            year(f.departure_date), month(f.departure_date), day(f.departure_date),
            f.scheduled_arrival_hhmm DIV 100 % 24, f.scheduled_arrival_hhmm % 100, 0
        ) AS local_arrival,
        coalesce(a.time_zone, 'America/Puerto_Rico') AS time_zone
    FROM flights.flights AS f
    LEFT JOIN flights.airports AS a ON a.airport = f.dest
    WHERE f.arrival_delay_min IS NOT NULL
),
scheduled AS (
    SELECT
        *,
        CASE
            WHEN to_utc_timestamp(local_arrival, time_zone) > scheduled_departure_at
                THEN to_utc_timestamp(local_arrival, time_zone)
            ELSE to_utc_timestamp(local_arrival + INTERVAL 1 DAY, time_zone)
        END AS scheduled_arrival_at
    FROM arrivals
)
SELECT
    flight_id,
    scheduled_departure_at,
    scheduled_arrival_at + make_dt_interval(0, 0, arrival_delay_min) AS landed_at,
    arrival_delay_min >= 15 AS is_late,
    arrival_delay_min,
    scheduled_arrival_at,
    carrier,
    origin,
    dest,
    tailnum
FROM scheduled

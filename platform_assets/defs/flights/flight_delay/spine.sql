-- Who is asked about, and when: every scheduled departure, two hours before it.
SELECT flight_id, carrier, origin, dest, tailnum, scheduled_departure_at - INTERVAL 2 HOURS AS predict_at
FROM flights.flights

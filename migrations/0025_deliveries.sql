-- A delivery is one row by whichever index it is looked up: of a project too young for statistics the planner took the one that stops at the endpoint,
-- and read all of the endpoint's deliveries for each.

SET lock_timeout = '5s';

CREATE INDEX delivery_of_endpoint ON delivery (project_id, endpoint_id, event_id);
DROP INDEX delivery_by_endpoint;

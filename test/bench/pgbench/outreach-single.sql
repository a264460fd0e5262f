\set at :client_id * :share + :n * 1
\set n (:n + 1) % :limit
SELECT * FROM outreach.ingest_webhook((SELECT doc FROM bench.document WHERE id = :at));

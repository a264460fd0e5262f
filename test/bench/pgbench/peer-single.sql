\set at :client_id * :share + :n * 1
\set n (:n + 1) % :limit
SELECT ingest_one((SELECT doc FROM bench.document WHERE id = :at));

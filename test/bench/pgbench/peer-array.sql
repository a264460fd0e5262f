\set at :client_id * :share + :n * 100
\set n (:n + 1) % :limit
SELECT ingest_many(ARRAY(SELECT doc FROM bench.document WHERE id BETWEEN :at AND :at + 99 ORDER BY id));

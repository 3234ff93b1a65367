What was earned and what it cost: charges with the upstream cost that stands on their receipts, and work
that nobody was charged for. By the time the request was opened, which its hold's id begins with.

-- name: margin
WITH ended AS (
    SELECT account_id, model, amount, shortfall, receipt -> 'charge' AS charge, receipt -> 'borne' AS borne
    FROM charges
    WHERE hold_id >= $1 AND hold_id < $2
), priced AS (
    SELECT *, (charge ->> 'upstream_cost')::bigint AS paid, (borne ->> 'upstream_cost')::bigint AS borne_paid,
           CASE $3 WHEN 'model' THEN model WHEN 'account' THEN account_id
                   ELSE coalesce(charge -> 'basis' ->> 'offer', borne ->> 'offer', '') END AS part
    FROM ended
    WHERE charge IS NOT NULL OR borne IS NOT NULL
)
SELECT part,
       count(charge) AS charges,
       coalesce(sum(amount), 0)::bigint AS revenue,
       coalesce(sum(shortfall), 0)::bigint AS shortfall,
       coalesce(sum(paid), 0)::bigint AS upstream_cost,
       coalesce(sum(amount - shortfall - paid), 0)::bigint AS margin,
       count(*) FILTER (WHERE charge IS NOT NULL AND paid IS NULL) AS cost_unknown,
       coalesce(sum(amount) FILTER (WHERE charge IS NOT NULL AND paid IS NULL), 0)::bigint AS revenue_of_unknown,
       count(borne) AS borne,
       coalesce(sum(borne_paid), 0)::bigint AS borne_cost,
       count(*) FILTER (WHERE borne IS NOT NULL AND borne_paid IS NULL) AS borne_unknown
FROM priced
GROUP BY part
ORDER BY revenue DESC, part

-- name: borne
SELECT stamp AS reason, count(*) AS requests,
       coalesce(sum((receipt -> 'borne' ->> 'upstream_cost')::bigint), 0)::bigint AS upstream_cost,
       count(*) FILTER (WHERE receipt -> 'borne' ->> 'upstream_cost' IS NULL) AS cost_unknown
FROM charges
WHERE hold_id >= $1 AND hold_id < $2 AND receipt -> 'borne' IS NOT NULL
GROUP BY stamp
ORDER BY upstream_cost DESC, stamp

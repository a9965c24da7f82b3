-- Make the table that bulk submission copies its jobs to. It belongs to the session, is never
-- logged and is emptied by each commit. Its columns are those of given.sql.
create temporary table if not exists scheduling_staging (
    id uuid, level smallint, model text, api text, source text, stream boolean, tenant_id uuid,
    user_id uuid, flow_id bigint, cost double precision, due_at timestamptz,
    deadline_at timestamptz, max_attempts smallint, sequence_key uuid, origin text,
    request_id text, body text, priority_reason text, backlog boolean, affinity text,
    allow_fallback boolean, place bigint
) on commit delete rows

-- Is anything queued at a level, and anything for one of these models by an API that is offered?
-- Index job_claim.
select exists (select 1 from scheduling_job where status = 'queued' and level = %(level)s),
       exists (select 1 from unnest(%(models)s::text[], %(apis)s::text[]) as r(model, apis)
                 join scheduling_job j on j.model = r.model
                  and j.status = 'queued' and j.level = %(level)s
                  and j.api = any(string_to_array(r.apis, ',')))

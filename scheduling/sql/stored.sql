-- Which of these leased jobs already ended under this very lease: a finish sent twice is no error.
select j.id
  from scheduling_job j
  join unnest(%(id)s::uuid[], %(lease_token)s::uuid[]) as i(id, lease_token)
    on i.id = j.id and i.lease_token = j.lease_token
 where j.status in ('completed', 'failed', 'cancelled', 'timeout')

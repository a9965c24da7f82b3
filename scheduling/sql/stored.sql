-- Which of these jobs have already ended under this very lease? A finish sent twice is no error.
select j.id
  from scheduling_job j
  join unnest(%(id)s::uuid[], %(lease_token)s::uuid[]) as i(id, lease_token)
    on i.id = j.id and i.lease_token = j.lease_token
 where j.status in ('completed', 'failed', 'cancelled', 'timeout')

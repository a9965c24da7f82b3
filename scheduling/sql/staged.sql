-- A group of jobs as rows that were copied in: submit.sql stores them for bulk submission.
pg_temp.scheduling_staging

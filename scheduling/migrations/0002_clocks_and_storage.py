"""The four level clocks, and storage settings of the hot tables.

Rows of `scheduling_job` are updated several times in their short lives: room on the page and an
eager autovacuum keep the claim index small.
"""

from django.db import migrations

CLOCKS = """
insert into scheduling_levelclock (level, virtual_time)
values (0, 0), (1, 0), (2, 0), (3, 0) on conflict do nothing
"""
STORAGE = """
alter table scheduling_job set (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05);
alter table scheduling_flowtag set (fillfactor = 50);
alter table scheduling_levelclock set (fillfactor = 50);
"""
DEFAULTS = """
alter table scheduling_job reset (
    fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
    autovacuum_analyze_scale_factor);
alter table scheduling_flowtag reset (fillfactor);
alter table scheduling_levelclock reset (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0001_initial")]
    operations = [
        migrations.RunSQL(CLOCKS, "delete from scheduling_levelclock"),
        migrations.RunSQL(STORAGE, DEFAULTS),
    ]

"""The ticket desk: a property manager's tickets from report to payment, worked off by jobqueue.

Read it in this order: ``ticket`` (the domain), ``steps`` and ``contracts`` (the jobs), ``correspondence`` (who
is told what), ``service`` (how jobs are enqueued), ``processors`` (what they do), ``resources`` (what they do it
with), ``api`` and ``worker_main`` (the two processes of a deployment). ``desk`` plays the world around it, so
that all of it can be run and checked on one machine: ``python -m examples.ticketing demo``.
"""

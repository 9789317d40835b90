# rq worker --with-scheduler reports

from rooms import emit
from rq import Retry, get_current_job

RETRY = Retry(max=5, interval=[1, 10, 60])  # queue.enqueue(report, user, month, retry=RETRY)


def report(user, month):
    url = f"/reports/{user}/{month}"  # the work
    emit(f"{get_current_job().id}-ready", f"user:{user}", "report ready", {"url": url})

# celery -A tasks worker

from celery import Celery
from rooms import NotAccepted, emit

app = Celery("tasks")  # CELERY_BROKER_URL names its broker
until_accepted = {"autoretry_for": (NotAccepted,), "retry_backoff": True, "retry_backoff_max": 60, "max_retries": None}


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True, **until_accepted)
def report(self, user, month):
    url = f"/reports/{user}/{month}"  # the work
    emit(f"{self.request.id}-ready", f"user:{user}", "report ready", {"url": url})

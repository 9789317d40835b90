from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task


@dag(params={"user": "ada"})
def reports():
    @task
    def report(**context):
        return {"url": f"/reports/{context['params']['user']}"}  # the work

    tell = BashOperator(
        task_id="tell",
        bash_command='sio emit -q --idempotency-key "$KEY" --room "$ROOM" "report ready" "$DATA"',
        env={
            "KEY": "{{ dag.dag_id }}-{{ run_id }}-{{ task.task_id }}",
            "ROOM": "user:{{ params.user }}",
            "DATA": "{{ ti.xcom_pull('report') | tojson }}",
        },
        append_env=True,
        retries=10,
        retry_delay=timedelta(seconds=1),
        retry_exponential_backoff=True,
        max_retry_delay=timedelta(minutes=1),
    )
    report() >> tell


reports()

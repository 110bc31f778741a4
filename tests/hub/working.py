"""Jobs: they are kept, and run by whatever the test gives for that."""

import threading
from typing import TYPE_CHECKING, Any

from .faults import NotServedError
from .repositories import now
from .routing import Routes

if TYPE_CHECKING:
    from .server import Call

ROUTES = Routes()

HARDWARE = [
    {
        "name": name,
        "prettyName": name,
        "cpu": cpu,
        "ram": ram,
        "accelerator": gpu,
        "unitCostMicroUSD": micro,
        "unitCostUSD": micro / 1e6,
        "unitLabel": "minute",
    }
    for name, cpu, ram, gpu, micro in (
        ("cpu-basic", "2 vCPU", "16 GB", None, 167),
        ("cpu-upgrade", "8 vCPU", "32 GB", None, 500),
        (
            "t4-small",
            "4 vCPU",
            "15 GB",
            {"type": "gpu", "model": "T4", "quantity": "1", "vram": "16 GB", "manufacturer": "Nvidia"},
            6667,
        ),
    )
]


@ROUTES.at("GET", "/api/jobs/hardware")
def hardware(call: "Call") -> Any:
    return call.hub.hardware


@ROUTES.at("POST", "/api/jobs/(?P<namespace>[^/]+)")
def submit(call: "Call") -> Any:
    asked, name = call.json(), call.writer
    if call["namespace"] not in (name, *(call.user.organizations if call.user else ())):
        raise NotServedError(403, "", "Forbidden")
    number = f"{len(call.hub.jobs):024x}"
    public = {key: value for key, value in asked.items() if key != "secrets"}
    job = {
        "id": number,
        "createdAt": now(),
        "owner": {"id": "0", "name": call["namespace"], "type": "user"},
        "createdBy": {"id": "0", "name": name},
        "status": {"stage": "SCHEDULING", "message": None},
        "secrets": sorted(asked.get("secrets") or {}),
        **public,
    }
    call.hub.jobs[number] = {"job": job, "asked": asked, "logs": []}
    if (run := call.hub.run_job) is not None:

        def work() -> None:
            job["status"]["stage"] = "RUNNING"
            job["status"]["stage"] = run(call.hub.jobs[number])

        threading.Thread(target=work, daemon=True).start()
    return job


@ROUTES.at("GET", "/api/jobs/(?P<namespace>[^/]+)")
def listing(call: "Call") -> Any:
    wanted = [value.partition("=") for name, value in call.query if name == "label"]
    stages = [value for name, value in call.query if name == "stage"]
    return [
        kept["job"]
        for kept in reversed(call.hub.jobs.values())
        if all((kept["job"].get("labels") or {}).get(key) == value for key, _, value in wanted)
        and (not stages or kept["job"]["status"]["stage"] in stages)
    ]


@ROUTES.at("GET", "/api/jobs/(?P<namespace>[^/]+)/(?P<number>[0-9a-f]{24})")
def inspect(call: "Call") -> Any:
    return _job(call)["job"]


@ROUTES.at("POST", "/api/jobs/(?P<namespace>[^/]+)/(?P<number>[0-9a-f]{24})/cancel")
def cancel(call: "Call") -> Any:
    job = _job(call)["job"]
    job["status"]["stage"] = "CANCELED"
    return job


def _job(call: "Call") -> dict[str, Any]:
    number = str(call["number"])
    if number not in call.hub.jobs:
        raise NotServedError(404, "", "Job not found")
    return call.hub.jobs[number]

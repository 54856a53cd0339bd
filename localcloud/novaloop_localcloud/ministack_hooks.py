"""Every touch of ministack's private names, for the pinned version and no other.

How each looks there stands in `tests/private_names.json`: a pin that moves is told what of this
module hangs on a name that has changed. Only the emulator's process imports this module: ministack
is installed in the emulator's own virtual environment.
"""

from __future__ import annotations

import contextvars
import hashlib
import json
import shutil
import threading
import time
import uuid
import zipfile
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

from ministack import app  # type: ignore[import-not-found]
from ministack.core import iam_actions, iam_evaluator, lambda_runtime, responses, router  # type: ignore[import-not-found]
from ministack.services import (  # type: ignore[import-not-found]
    dynamodb,
    eventbridge,
    iam,
    lambda_svc,
    s3,
    scheduler,
    sqs,
    stepfunctions,
    sts,
)
from ministack.services.cloudformation import (  # type: ignore[import-not-found]
    changesets,
    custom_resource,
    handlers,
    provisioners,
    stacks,
)

from novaloop_localcloud import custom_resources, limits, templates, universal_targets
from novaloop_localcloud.credentials import Credentials
from novaloop_localcloud.sagemaker.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from novaloop_localcloud.host import Handler, Response
    from novaloop_localcloud.sagemaker.faults import Faults

    _KeyUses = Sequence[tuple[str, str]]
    """Actions with the id or the ARN of the key."""

_unpacking = threading.Lock()
_patience = contextvars.ContextVar("patience", default=0.0)
"""How many seconds Lambda itself tries the invocation at hand again while it is throttled."""
_calls_before = contextvars.ContextVar("calls_before", default=0)
"""How many calls of functions led to the request at hand."""
_version_of_event: contextvars.ContextVar[str | None] = contextvars.ContextVar("version_id")


def register(service: str, handler: Handler, target_prefix: str | None = None) -> None:
    """Route every request signed for `service` to `handler`, which authorizes it, too."""

    async def answer(*request: Any) -> Response:
        status, headers, body = await handler(*request)
        return status, {**headers}, body  # ministack writes the body's length into them

    app.SERVICE_HANDLERS[service] = answer
    iam_actions.SERVICE_TO_IAM_NAMESPACE.pop(service, None)
    if target_prefix is None:
        return
    # A service without an entry makes the router read all of botocore's models first: 5 seconds.
    router.SERVICE_PATTERNS[service] = {
        "host_patterns": [],
        "target_prefixes": [target_prefix],
        "credential_scope": service,
    }


def account_id() -> str:
    """The account of the current request."""
    return str(responses.get_account_id())


def region() -> str:
    """The region of the current request."""
    return str(responses.get_region())


def denial(
    headers: Mapping[str, str], query: Mapping[str, Any], action: str, resource: str, **keys: Any
) -> str | None:
    """Why the caller may not do `action`, in AWS's words, or None when it may.

    `keys` are condition keys with their values, for example
    `**{"iam:PassedToService": "sagemaker.amazonaws.com"}`.
    """
    return _denial(router.extract_access_key_id(headers, query), action, resource, keys)


def denial_of_role(role_arn: str, action: str, resource: str, **keys: Any) -> str | None:
    """Why a role may not do `action`, in AWS's words, or None when it may."""
    return _denial(role_credentials(role_arn, "SageMaker").access_key_id, action, resource, keys)


def _denial(access_key_id: str, action: str, resource: str, keys: Mapping[str, Any]) -> str | None:
    refused = iam_evaluator.enforce(
        access_key_id,
        action,
        action.partition(":")[0],
        region(),
        resource_arn=resource,
        service_context=keys,
    )
    if refused is None:
        return None
    if isinstance(refused, iam_evaluator.AuthError):
        return str(refused.message)
    return str(
        iam_actions.identity_denial_message(
            action, refused.principal_arn, resource, refused.decision == "Deny"
        )
    )


def role_trusts(role_arn: str, service: str) -> bool:
    """Whether the role exists and its trust policy lets `service` assume it."""
    role = iam._roles.get(role_arn.rsplit("/", 1)[-1])  # noqa: SLF001
    if role is None:
        return False
    document = role["AssumeRolePolicyDocument"]
    policy = json.loads(document) if isinstance(document, str) else document
    return any(
        statement["Effect"] == "Allow" and service in _services(statement)
        for statement in policy["Statement"]
    )


def _services(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal", {})
    services = principal.get("Service", []) if isinstance(principal, Mapping) else []
    return [services] if isinstance(services, str) else list(services)


def role_credentials(role_arn: str, session_name: str) -> Credentials:
    """Register a session of the role, as a service does, and return its credentials."""
    key, secret, token = f"ASIA{uuid.uuid4().hex[:16].upper()}", uuid.uuid4().hex, uuid.uuid4().hex
    role_name = role_arn.rsplit("/", 1)[-1]
    sts.register_session(
        key,
        {
            "Arn": f"arn:aws:sts::{account_id()}:assumed-role/{role_name}/{session_name}",
            "UserId": f"{role_name}:{session_name}",
            "SecretAccessKey": secret,
            "SessionToken": token,
        },
    )
    return Credentials(key, secret, token)


def publish(
    detail_type: str, resource: str, detail: Mapping[str, Any], source: str = "aws.sagemaker"
) -> None:
    """Put a service's event on the default bus."""
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": [resource],
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)  # noqa: SLF001


def add_version_ids() -> None:
    """Put `object.version-id` into S3's EventBridge events, which ministack leaves out."""
    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event  # noqa: SLF001

    def fire_noting_version(*arguments: Any, **options: Any) -> None:
        _version_of_event.set(options.get("version_id"))
        fire(*arguments, **options)

    def dispatch_with_version(event: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        version = _version_of_event.get(None)
        if version and event.get("Source") == "aws.s3":
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version
            event = {**event, "Detail": json.dumps(detail)}
        return dispatch(event, *arguments, **options)

    s3._fire_s3_event = fire_noting_version  # noqa: SLF001
    eventbridge._dispatch_event = dispatch_with_version  # noqa: SLF001


def authorize_batches() -> None:
    """Let who may send or delete a message, or change its visibility, do so with a batch of them.

    No policy can name the batch's own operation, which ministack asks for. Source:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-batch-api.html
    """
    extract = iam_actions.extract_iam_action

    def extract_right(service: str, *request: Any) -> Any:
        action = extract(service, *request)
        return action.removesuffix("Batch") if service == "sqs" and action else action

    iam_actions.extract_iam_action = extract_right


def serve_ranges_of_versions() -> None:
    """Honour `Range` where a GetObject names a version, too; ministack sends the whole object."""
    get = s3._get_object  # noqa: SLF001

    def get_range(bucket: str, key: str, headers: Any, query: Any = None) -> Response:
        status, answered, body = get(bucket, key, headers, query)
        asked = headers.get("range") or headers.get("Range")
        found = s3._parse_range(asked, len(body)) if asked and status == HTTPStatus.OK else None  # noqa: SLF001
        if found is None:
            return status, answered, body
        start, last = found
        answered["Content-Range"] = f"bytes {start}-{last}/{len(body)}"
        answered["Content-Length"] = str(last - start + 1)
        return HTTPStatus.PARTIAL_CONTENT, answered, body[start : last + 1]

    s3._get_object = get_range  # noqa: SLF001


def hold_invocations(faults: Faults) -> None:
    """Let asynchronous invocations wait in Lambda's queue while a fault holds the function.

    They outlive an update of the function, whose new code they then meet.
    Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    """
    invoke = lambda_svc.invoke_async_with_retry

    def queued(function: Any, event: Any) -> None:
        name = function["config"]["FunctionName"]

        def run() -> None:
            _patience.set(_EVENT_AGE_SECONDS)
            faults.wait("asynchronous-invocation", name)
            invoke(lambda_svc._functions.get(name, function), event)  # noqa: SLF001

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(run,), daemon=True).start()

    lambda_svc.invoke_async_with_retry = queued


_EVENT_AGE_SECONDS = 6 * 3600.0


def throttle_as_lambda() -> None:
    """Keep what is throttled where Lambda keeps it; ministack loses it, or counts it as an attempt.

    How many functions may run at once, ministack reads from LAMBDA_ACCOUNT_CONCURRENCY. Of what is
    throttled, an asynchronous invocation stays in Lambda's queue for six hours, tried after a
    second at first and five minutes at last; EventBridge's are asynchronous. A queue's batch is
    tried until its visibility timeout. Step Functions gets an error that a Retry can name.
    Sources: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html,
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html,
    https://repost.aws/questions/QU5UNfw7h9SgSTl8S9AUu3TQ (EventBridge has delivered what Lambda
    throttles), https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html
    """
    execute, run_batch = lambda_svc._execute_function, lambda_svc._run_sqs_batch  # noqa: SLF001
    dispatch = eventbridge._dispatch_to_lambda  # noqa: SLF001

    def execute_patiently(function: Any, event: Any) -> Any:
        end, delay = time.monotonic() + _patience.get(), 1.0
        result = execute(function, event)
        while result.get("throttle") and time.monotonic() + delay < end:
            time.sleep(delay)
            delay = min(2 * delay, 300)
            result = execute(function, event)
        if result.get("throttle"):
            result["body"]["errorType"] = "Lambda.TooManyRequestsException"
        return result

    def run_batch_patiently(*arguments: Any) -> None:
        *_, queue_url, _ = arguments
        queue = sqs._get_q(queue_url)  # noqa: SLF001
        _patience.set(float(queue["attributes"]["VisibilityTimeout"]))
        run_batch(*arguments)

    def invoke_asynchronously(arn: str, payload: str) -> None:
        function, config, _ = lambda_svc._get_func_record_for_ref(arn)  # noqa: SLF001
        if not function or not config:
            dispatch(arn, payload)  # which says so
            return
        record = lambda_svc._execution_record_for_config(function, config)  # noqa: SLF001
        lambda_svc.invoke_async_with_retry(record, json.loads(payload))

    lambda_svc._execute_function = execute_patiently  # noqa: SLF001
    lambda_svc._run_sqs_batch = run_batch_patiently  # noqa: SLF001
    eventbridge._dispatch_to_lambda = invoke_asynchronously  # noqa: SLF001


def extract_layers_once(store: Path) -> None:
    """Let a function's cold start link to its layers; ministack unpacks them each time.

    They stay in `store` by digest, for the next run too; one that a run does not use gives way
    to the first new one.
    """
    _LayerZip.store = store
    lambda_runtime.zipfile = SimpleNamespace(
        ZipFile=_LayerZip, BadZipFile=zipfile.BadZipFile, LargeFileError=zipfile.LargeZipFile
    )


class _LayerZip(zipfile.ZipFile):
    """A zip file that is unpacked once when its target is a layer's directory."""

    store: Path
    used: ClassVar[set[str]] = set()

    def namelist(self) -> list[str]:
        """Nothing to check: the layer is unpacked by zipfile, which keeps to its target."""
        return []

    def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
        """Unpack, or link `path` to where the same layer has been unpacked."""
        members = super().namelist() if members is None else members
        if path is None or not Path(path).name.startswith("layer_"):
            super().extractall(path, members, pwd)
            return
        with Path(str(self.filename)).open("rb") as file:
            unpacked = self.store / hashlib.file_digest(file, "sha256").hexdigest()
        with _unpacking:
            self.used.add(unpacked.name)
            if not unpacked.exists():
                self._make_room()
                super().extractall(unpacked.with_suffix(".partial"), members, pwd)
                unpacked.with_suffix(".partial").rename(unpacked)
        Path(path).rmdir()
        Path(path).symlink_to(unpacked, target_is_directory=True)

    def _make_room(self) -> None:
        for other in self.store.glob("*"):
            if other.name not in self.used:
                shutil.rmtree(other)


def refuse_templates() -> None:
    """Let CloudFormation refuse what AWS's does; see `novaloop_localcloud.templates`."""

    def parse(body: str) -> dict[str, Any]:
        template: dict[str, Any] = stacks_parse(body)
        _raise(templates.null_problem(template))
        return template

    def support(template: Any, conditions: Any, params: Any = None) -> None:
        stacks_support(template, conditions, params=params)
        if params is not None:  # ValidateTemplate has none, and so knows no conditions
            _raise(templates.null_problem(template))
            _raise(templates.reference_problem(template, conditions))

    def provision(kind: str, logical_id: str, properties: Any, *rest: Any) -> Any:
        _raise(templates.property_problem(kind, logical_id, properties))
        return stacks_provision(kind, logical_id, properties, *rest)

    def update(kind: str, identifier: str, old: Any, properties: Any, *rest: Any) -> Any:
        _raise(templates.property_problem(kind, identifier, properties))
        return stacks_update(kind, identifier, old, properties, *rest)

    def definition(properties: Mapping[str, Any]) -> str:
        text: str = definition_of(properties)
        _raise(templates.definition_problem(text))
        return text

    definition_of = provisioners._sfn_definition  # noqa: SLF001
    stacks_parse, stacks_support = changesets._parse_template, changesets.validate_template_support  # noqa: SLF001
    stacks_provision, stacks_update = stacks._provision_resource, stacks._update_resource  # noqa: SLF001
    changesets._parse_template = handlers._parse_template = parse  # noqa: SLF001
    changesets.validate_template_support = handlers.validate_template_support = support
    stacks._provision_resource, stacks._update_resource = provision, update  # noqa: SLF001
    provisioners._sfn_definition = definition  # noqa: SLF001


def refuse_answers() -> None:
    """Let CloudFormation refuse what AWS's does of a custom resource's answer.

    See `custom_resources`. Its URL is signed for a request without a content type.
    Its function is invoked asynchronously, so that Lambda tries again what fails or is throttled.
    Source: https://github.com/orgs/localstack/discussions/60
    """
    requests: dict[str, Mapping[str, Any]] = {}
    execute = lambda_svc._execute_function_with_config_scope  # noqa: SLF001
    handle = app._handle_post_body_shortcuts  # noqa: SLF001

    def execute_noting_request(function: Any, event: Any) -> Any:
        if isinstance(event, dict) and "ResponseURL" in event:
            requests[event["ResponseURL"].rpartition("/")[2]] = event
            return lambda_svc.invoke_async_with_retry(function, event)
        return execute(function, event)

    async def handle_answer(
        method: str, path: str, headers: Mapping[str, str], body: bytes, *rest: Any
    ) -> Any:
        request = requests.get(path.rpartition("/")[2])
        if method != "PUT" or request is None:
            return await handle(method, path, headers, body, *rest)
        if headers.get("content-type"):
            return HTTPStatus.FORBIDDEN, {}, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
        problem = custom_resources.problem(request, body)
        answer = json.loads(body) if problem is None else {"Status": "FAILED", "Reason": problem}
        custom_resource.deliver_response(path.rpartition("/")[2], answer)
        return HTTPStatus.OK, {}, b""

    lambda_svc._execute_function_with_config_scope = execute_noting_request  # noqa: SLF001
    app._handle_post_body_shortcuts = handle_answer  # noqa: SLF001


def _raise(problem: str | None) -> None:
    if problem is not None:
        raise ValueError(problem)


def refuse_requests() -> None:
    """Let each service refuse what AWS's does; see `novaloop_localcloud.limits`."""
    for service in ("sns", "events", "lambda", "states"):
        app.SERVICE_HANDLERS[service] = _limited(service, app.SERVICE_HANDLERS[service])
    execute, complete = s3._dispatch, s3._complete_multipart_upload  # noqa: SLF001
    send = sqs._act_send_message  # noqa: SLF001

    def send_soon(message: Mapping[str, Any], queue: str) -> Any:
        problem = limits.delay_problem(int(message.get("DelaySeconds") or 0))
        if problem is not None:
            raise sqs._Err(problem.code, problem.message)  # noqa: SLF001
        return send(message, queue)

    def dispatch(method: str, bucket: str, key: str, headers: Any, *rest: Any) -> Response:
        problem = limits.object_problem(key, headers)
        if problem is not None:
            return s3._error(problem.code, problem.message, problem.status)  # type: ignore[no-any-return]  # noqa: SLF001
        return execute(method, bucket, key, headers, *rest)  # type: ignore[no-any-return]

    def complete_whole(bucket: str, key: str, body: bytes, query: Any, *rest: Any) -> Response:
        upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"), {"parts": {}})  # noqa: SLF001
        sizes = [part["size"] for _, part in sorted(upload["parts"].items())]
        problem = limits.parts_problem(sizes)
        if problem is not None:
            return s3._error(problem.code, problem.message, problem.status)  # type: ignore[no-any-return]  # noqa: SLF001
        return complete(bucket, key, body, query, *rest)  # type: ignore[no-any-return]

    sqs._act_send_message = sqs._HANDLERS["SendMessage"] = send_soon  # noqa: SLF001
    s3._dispatch, s3._complete_multipart_upload = dispatch, complete_whole  # noqa: SLF001
    stepfunctions._execute_pass = _bounded(stepfunctions._execute_pass)  # noqa: SLF001
    stepfunctions._execute_task = _bounded(stepfunctions._execute_task)  # noqa: SLF001
    stepfunctions._execute_map = _bounded(stepfunctions._execute_map)  # noqa: SLF001
    stepfunctions._execute_parallel = _bounded(stepfunctions._execute_parallel)  # noqa: SLF001


def start_once() -> None:
    """Answer the start of an execution that runs as its first start was answered.

    The emulator refuses it, as AWS does for another input, or of one that is closed. Source:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    start = stepfunctions._start_execution  # noqa: SLF001

    def start_or_find(request: Mapping[str, Any]) -> Any:
        machine, name = request.get("stateMachineArn"), request.get("name")
        for running in list(stepfunctions._executions.values()):  # noqa: SLF001
            if (
                name is not None
                and (running["stateMachineArn"], running["name"]) == (machine, name)
                and (running["status"], running["input"]) == ("RUNNING", request.get("input", "{}"))
            ):
                told = {key: running[key] for key in ("executionArn", "startDate")}
                return responses.json_response(told)
        return start(request)

    stepfunctions._start_execution = start_or_find  # noqa: SLF001


def end_loops() -> None:
    """Count a chain of calls through queues, too, and end one that Lambda ends.

    ministack counts what a function calls directly. Lambda counts through SQS as well, in the trace
    header that the function's SDK sends along, and calls a function of which `RecursiveLoop` is
    Terminate, the default, no more than about 16 times in a chain. A message that it may not be
    called for stays in the queue, until that gives it up. Sources: "Use Lambda recursive loop
    detection" in Lambda's developer guide, boto/boto3#3899.
    """
    handle, send, run_batch = (
        app.SERVICE_HANDLERS["sqs"],
        sqs._act_send_message,  # noqa: SLF001
        lambda_svc._run_sqs_batch,  # noqa: SLF001
    )
    create, update = stacks._provision_resource, stacks._update_resource  # noqa: SLF001

    async def handle_counting(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        _calls_before.set(lambda_svc._inbound_invoke_depth(headers))  # noqa: SLF001
        return await handle(method, path, headers, body, query)  # type: ignore[no-any-return]

    def send_counted(message: Mapping[str, Any], queue: str) -> Any:
        calls = {"DataType": "String", "StringValue": f"Lineage=1:0:{_calls_before.get()}"}
        told = {**(message.get("MessageSystemAttributes") or {}), "AWSTraceHeader": calls}
        return send({**message, "MessageSystemAttributes": told}, queue)

    def run_unless_a_loop(
        mapping: Any, function: Any, event: Any, batch: Sequence[Any], *rest: Any
    ) -> None:
        chains = [each["sys"].get("AWSTraceHeader", ":0") for each in batch]
        depth = 1 + max(int(each.rpartition(":")[2]) for each in chains)
        if lambda_svc._recursive_loop_drop(mapping["FunctionName"], function, depth) is None:  # noqa: SLF001
            lambda_svc._invoke_depth.set(depth)  # noqa: SLF001
            run_batch(mapping, function, event, batch, *rest)

    def set_loop(kind: str, made: tuple[str, Any], properties: Mapping[str, Any]) -> Any:
        if kind == "AWS::Lambda::Function":  # ministack's CloudFormation leaves it out
            loop = properties.get("RecursiveLoop", "Terminate")
            lambda_svc._functions[made[0]]["recursive_loop"] = loop  # noqa: SLF001
        return made

    def provision(kind: str, logical_id: str, properties: Any, *rest: Any) -> Any:
        return set_loop(kind, create(kind, logical_id, properties, *rest), properties)

    def change(kind: str, identifier: str, old: Any, properties: Any, *rest: Any) -> Any:
        return set_loop(kind, update(kind, identifier, old, properties, *rest), properties)

    app.SERVICE_HANDLERS["sqs"] = handle_counting
    sqs._act_send_message = sqs._HANDLERS["SendMessage"] = send_counted  # noqa: SLF001
    lambda_svc._run_sqs_batch = run_unless_a_loop  # noqa: SLF001
    stacks._provision_resource, stacks._update_resource = provision, change  # noqa: SLF001


def refuse_queries() -> None:
    """Let DynamoDB refuse what AWS's does of a Query; see `novaloop_localcloud.limits`."""
    query_table = dynamodb._query  # noqa: SLF001

    def query(request: Mapping[str, Any]) -> Any:
        table = dynamodb._tables.get(request.get("TableName")) or {}  # noqa: SLF001
        indexes = {each["IndexName"]: each for each in table.get("GlobalSecondaryIndexes") or []}
        schema = indexes.get(request.get("IndexName"), table).get("KeySchema", [])
        problem = limits.query_problem({each["AttributeName"] for each in schema}, request)
        if problem is not None:
            return responses.error_response_json(problem.code, problem.message, problem.status)
        return query_table(request)

    dynamodb._query = query  # noqa: SLF001


def call_universal_targets() -> None:
    """Let a schedule call an operation of a service; see `novaloop_localcloud.universal_targets`.

    Its role must trust Scheduler and be the caller's to pass. A rate begins at its `StartDate`.
    """
    handle, dispatch = app.SERVICE_HANDLERS["scheduler"], eventbridge._invoke_target  # noqa: SLF001

    def refused(headers: Any, query: Any, request: Mapping[str, Any]) -> Response | None:
        role = request["Target"]["RoleArn"]
        problem = universal_targets.refusal(request, time.time())
        if problem is None and not role_trusts(role, _SCHEDULER):
            problem = ServiceError(
                "ValidationException",
                "The execution role you provide must allow AWS EventBridge Scheduler to assume the "
                "role.",
            )
        denied = denial(headers, query, "iam:PassRole", role, **{"iam:PassedToService": _SCHEDULER})
        if problem is None and denied is not None:
            problem = ServiceError("AccessDeniedException", denied, HTTPStatus.FORBIDDEN)
        if problem is None:
            return None
        return responses.error_response_json(problem.code, problem.message, problem.status)  # type: ignore[no-any-return]

    async def strict(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        sets = method in {"POST", "PUT"} and path.startswith("/schedules/")
        request = json.loads(body) if sets else {}
        if sets and (answer := refused(headers, query, request)) is not None:
            return answer
        status, told, answered = await handle(method, path, headers, body, query)
        if sets and status == HTTPStatus.OK and "StartDate" in request:
            every = eventbridge._parse_rate_seconds(request["ScheduleExpression"]) or 0  # noqa: SLF001
            key = f"{request.get('GroupName', 'default')}/{path.rpartition('/')[2]}"
            before = request["StartDate"] - every
            scheduler._schedule_last_fired[account_id(), region(), key] = before  # noqa: SLF001
        return status, told, answered

    def invoke(target: Mapping[str, Any], *rest: Any) -> None:
        if not universal_targets.is_universal(target):
            dispatch(target, *rest)
            return
        universal_targets.call(target, role_credentials(target["RoleArn"], "Scheduler"))

    app.SERVICE_HANDLERS["scheduler"] = strict
    eventbridge._invoke_target = invoke  # noqa: SLF001
    scheduler._SCHEDULE_TICK_INTERVAL = 1  # noqa: SLF001


_SCHEDULER = "scheduler.amazonaws.com"


def enforce_keys() -> None:
    """Let S3 write under a KMS key, and read what is under one, only for who may use the key.

    Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html and, for
    uploads in parts, https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html.
    """
    execute = s3._dispatch  # noqa: SLF001

    def dispatch(method: str, bucket: str, key: str, headers: Any, *rest: Any) -> Response:
        query = rest[-1]
        denied = _key_denial(headers, query, _keys_to_write(method, bucket, key, headers, query))
        if denied is not None:
            return denied
        answer: Response = execute(method, bucket, key, headers, *rest)
        is_read = method == "GET" and key and answer[0] < HTTPStatus.MULTIPLE_CHOICES
        reads = [("kms:Decrypt", answer[1][_KMS_KEY])] if is_read and _KMS_KEY in answer[1] else []
        return _key_denial(headers, query, reads) or answer

    s3._dispatch = dispatch  # noqa: SLF001


_KMS_KEY = "x-amz-server-side-encryption-aws-kms-key-id"


def _keys_to_write(method: str, bucket: str, key: str, headers: Any, query: Any) -> _KeyUses:
    """Which keys a request uses before anything is written."""
    if not key or method not in {"PUT", "POST"} or "tagging" in query:
        return []
    uses: list[tuple[str, str]] = []
    upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"))  # noqa: SLF001
    if upload is not None:
        told = upload["preserved_headers"]
        uses += [
            (action, told.get(_KMS_KEY, "")) for action in ("kms:GenerateDataKey", "kms:Decrypt")
        ]
    else:
        told = s3._resolve_sse_write_headers(headers, bucket)[0] or {}  # noqa: SLF001
        uses.append(("kms:GenerateDataKey", told.get(_KMS_KEY, "")))
    if "x-amz-copy-source" in headers:
        path, _, version = (
            unquote(headers["x-amz-copy-source"]).lstrip("/").partition("?versionId=")
        )
        source, _, name = path.partition("/")
        which = {"versionId": [version]} if version else {}
        read = s3._head_object(source, name, {}, which)[1]  # noqa: SLF001
        uses.append(("kms:Decrypt", read.get(_KMS_KEY, "")))
    return [(action, used) for action, used in uses if used]


def _key_denial(headers: Any, query: Any, uses: _KeyUses) -> Response | None:
    for action, used in uses:
        arn = used
        if not used.startswith("arn:"):
            path = used if used.startswith("alias/") else f"key/{used}"
            arn = f"arn:aws:kms:{region()}:{account_id()}:{path}"
        via = {"kms:ViaService": f"s3.{region()}.amazonaws.com"}
        denied = denial(headers, query, action, arn, **via)
        if denied is not None:
            return s3._error("AccessDenied", denied, HTTPStatus.FORBIDDEN)  # type: ignore[no-any-return]  # noqa: SLF001
    return None


def _limited(service: str, handle: Handler) -> Handler:
    async def limited(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        problem = limits.refusal(service, path, headers, body)
        if problem is None:
            status, told, answer = await handle(method, path, headers, body, query)
            large = limits.too_large(answer) if service == "lambda" else None
            return (status, told, answer) if large is None else (200, {**_UNHANDLED}, large)
        answer_error = responses.error_response_json
        if service == "sns":
            answer_error = responses.error_response_xml
        return answer_error(problem.code, problem.message, problem.status)  # type: ignore[no-any-return]

    return limited


_UNHANDLED = {"Content-Type": "application/json", "X-Amz-Function-Error": "Unhandled"}


def _bounded(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Run a state, whose output may be no larger than a message.

    Neither Retry nor Catch sees the error. Source:
    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """

    def bounded(*arguments: Any) -> Any:
        output, following = execute(*arguments)
        if len(json.dumps(output).encode()) > limits.MESSAGE_BYTES:
            raise stepfunctions._ExecutionError(  # noqa: SLF001
                "States.DataLimitExceeded",
                "The state/task returned a result with a size exceeding the maximum number of "
                "bytes service limit.",
            )
        return output, following

    return bounded


def serve() -> None:
    """Serve until the process is told to stop; settings come from the environment."""
    # Port 443 would be shared by every local cloud on the machine and nothing here asks for it.
    app._port_is_bindable = lambda host, port: False  # noqa: SLF001
    app.main()

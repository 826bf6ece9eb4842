"""Each thing a person gets wrong, and the one line that is answered. Whole lines are compared: place, field, words."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest

from asya.api import parse_manifests

HEAD = """\
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata:
  name: a
spec:
  image: i:1
  handler: h.f
"""
LABEL = "a DNS label (lower-case letters, digits and dashes)"
RESERVED = "is reserved for the platform's own actors (x-sink, x-sump, x-pause, x-resume, x-join); choose another name"
QUOTES = '; write it in quotes: "2"'
TABS = "; indent with blanks, not tabs"

# (what is wrong, YAML under spec, line counted from the first line of that YAML, path under spec, message)
IN_SPEC = [
    (
        "null for a volume's source",
        "volumes:\n- name: v\n  emptyDir:",
        3,
        "volumes[0].emptyDir",
        "expected a mapping, found nothing",
    ),
    (
        "a mapping for a number or text",
        "strategy: {rollingUpdate: {maxSurge: {}}}",
        1,
        "strategy.rollingUpdate.maxSurge",
        "expected a whole number or text that is not empty, found an empty mapping",
    ),
    (
        "text for a number",
        "scaling: {minReplicaCount: two}",
        1,
        "scaling.minReplicaCount",
        'expected a whole number from 0 to 100000, found "two"',
    ),
    (
        "negative",
        "scaling:\n  minReplicaCount: -1",
        2,
        "scaling.minReplicaCount",
        "expected a whole number from 0 to 100000, found -1",
    ),
    (
        "zero at most",
        "scaling: {maxReplicaCount: 0}",
        1,
        "scaling.maxReplicaCount",
        "expected a whole number from 1 to 100000, found 0",
    ),
    (
        "fraction",
        "scaling: {queueLength: 1.5}",
        1,
        "scaling.queueLength",
        "expected a whole number from 1 to 2147483647, found 1.5",
    ),
    (
        "true for a number",
        "scaling: {queueLength: yes}",
        1,
        "scaling.queueLength",
        "expected a whole number from 1 to 2147483647, found true",
    ),
    ("text for a flag", 'scaling: {enabled: "no"}', 1, "scaling.enabled", 'expected true or false, found "no"'),
    ("nothing", "scaling:", 1, "scaling", "expected a mapping, found nothing"),
    (
        "min above max",
        "scaling:\n  minReplicaCount: 5\n  maxReplicaCount: 2",
        2,
        "scaling.minReplicaCount",
        "expected at most maxReplicaCount, which is 2, found 5",
    ),
    (
        "min above the default of max",
        "scaling: {minReplicaCount: 11}",
        1,
        "scaling.minReplicaCount",
        "expected at most maxReplicaCount, which is 10 (its default), found 11",
    ),
    (
        "idle without min",
        "scaling: {idleReplicaCount: 0}",
        1,
        "scaling.idleReplicaCount",
        "expected a minReplicaCount above 0 beside it; with 0 the actor goes to zero anyway",
    ),
    (
        "idle above zero",
        "scaling: {minReplicaCount: 2, idleReplicaCount: 1}",
        1,
        "scaling.idleReplicaCount",
        "expected 0, found 1",
    ),
    (
        "formula alone",
        "scaling: {advanced: {formula: queue + 1}}",
        1,
        "scaling.advanced.formula",
        "needs target beside it, the value of the formula per replica",
    ),
    (
        "target alone",
        'scaling: {advanced: {target: "5"}}',
        1,
        "scaling.advanced.target",
        "counts only with a formula, and there is none",
    ),
    (
        "target is no number",
        "scaling: {advanced: {formula: queue, target: five}}",
        1,
        "scaling.advanced.target",
        'expected a number as text, such as "5", found "five"',
    ),
    (
        "trigger called queue",
        "scaling:\n  additionalTriggers:\n  - {type: cron, name: queue, metadata: {}}",
        3,
        "scaling.additionalTriggers[0].name",
        "'queue' is the name of our own trigger; choose another name",
    ),
    (
        "number in a trigger's metadata",
        "scaling:\n  additionalTriggers:\n  - type: cron\n    metadata:\n      desiredReplicas: 3",
        5,
        "scaling.additionalTriggers[0].metadata.desiredReplicas",
        'expected text, found 3; write it in quotes: "3"',
    ),
    (
        "old name",
        "scaling:\n  minReplicas: 1",
        2,
        "scaling.minReplicas",
        "unknown field; it is called minReplicaCount here",
    ),
    (
        "misspelt",
        "scaling: {poolingInterval: 5}",
        1,
        "scaling.poolingInterval",
        "unknown field; did you mean pollingInterval?",
    ),
    ("wrong case", "imagepullpolicy: Always", 1, "imagepullpolicy", "unknown field; did you mean imagePullPolicy?"),
    ("snake case", "image_pull_policy: Always", 1, "image_pull_policy", "unknown field; did you mean imagePullPolicy?"),
    (
        "at the wrong depth",
        "queueLength: 3",
        1,
        "queueLength",
        "unknown field here; it belongs at spec.scaling.queueLength (look at the indentation)",
    ),
    (
        "misspelt, at the wrong depth",
        "cooldownPeriods: 3",
        1,
        "cooldownPeriods",
        "unknown field; did you mean spec.scaling.cooldownPeriod?",
    ),
    (
        "like nothing",
        "queue: {zzz: 1}",
        1,
        "queue.zzz",
        "unknown field; known here: deletionPolicy, deliveryLimit",
    ),
    (
        "pod template of old versions",
        "workload: {template: {}}",
        1,
        "workload",
        "unknown field; write image, handler, resources and the other fields of the pod, directly under spec",
    ),
    (
        "number for a duration",
        "resiliency: {actorTimeout: 600}",
        1,
        "resiliency.actorTimeout",
        "expected a duration such as 500ms, 30s, 5m or 1h30m, found 600; did you mean 600s?",
    ),
    (
        "duration without a meaning",
        "resiliency: {actorTimeout: 5 minutes}",
        1,
        "resiliency.actorTimeout",
        'expected a duration such as 500ms, 30s, 5m or 1h30m, found "5 minutes"',
    ),
    (
        "duration of nothing",
        "resiliency: {actorTimeout: 0s}",
        1,
        "resiliency.actorTimeout",
        'expected a duration longer than 0, found "0s"',
    ),
    (
        "unknown backoff",
        "resiliency: {policies: {default: {backoff: fibonacci}}}",
        1,
        "resiliency.policies.default.backoff",
        'expected one of constant, linear, exponential, found "fibonacci"',
    ),
    (
        "no attempt at all",
        "resiliency: {policies: {default: {maxAttempts: 0}}}",
        1,
        "resiliency.policies.default.maxAttempts",
        "expected a whole number ≥ 1, found 0",
    ),
    (
        "both spellings",
        "resiliency:\n  policies:\n    default:\n      initialDelay: 1s\n      initialInterval: 1s",
        5,
        "resiliency.policies.default.initialInterval",
        "is another spelling of initialDelay; give only one of the two",
    ),
    (
        "first delay above the cap",
        "resiliency: {policies: {default: {initialInterval: 10m}}}",
        1,
        "resiliency.policies.default.initialInterval",
        "the first delay, 10m, is longer than maxInterval, 5m",
    ),
    (
        "cap below the default delay",
        "resiliency: {policies: {default: {maxInterval: 500ms}}}",
        1,
        "resiliency.policies.default.maxInterval",
        "the first delay, 1s, is longer than maxInterval, 500ms",
    ),
    (
        "unknown policy",
        "resiliency:\n  policies: {default: {}, gpu: {}}\n  rules:\n  - errors: [ValueError]\n    policy: gpus",
        5,
        "resiliency.rules[0].policy",
        "no policy is called 'gpus'; policies: default, gpu",
    ),
    (
        "rule without errors",
        "resiliency: {policies: {p: {}}, rules: [{errors: [], policy: p}]}",
        1,
        "resiliency.rules[0].errors",
        "expected a list with at least 1 entry, found an empty list",
    ),
    (
        "rule without policy",
        "resiliency:\n  rules:\n  - errors: [ValueError]",
        3,
        "resiliency.rules[0].policy",
        "missing; expected a name of letters, digits, dashes, dots and underscores",
    ),
    (
        "no class name",
        "resiliency: {nonRetryableErrors: [Value Error]}",
        1,
        "resiliency.nonRetryableErrors[0]",
        'expected the name of an exception class, such as ValueError or httpx.TimeoutException, found "Value Error"',
    ),
    (
        "ends at the sink by itself",
        "resiliency: {policies: {default: {onExhausted: [x-sink]}}}",
        1,
        "resiliency.policies.default.onExhausted[0]",
        "'x-sink' is where messages end by themselves; name an actor of yours, or leave it out",
    ),
    (
        "no rate",
        "resiliency: {rateLimit: {rate: 10}}",
        1,
        "resiliency.rateLimit.rate",
        "expected a rate such as 10/s, 90/m or 500/h, found 10",
    ),
    (
        "rate of nothing",
        "resiliency: {rateLimit: {rate: 0/s}}",
        1,
        "resiliency.rateLimit.rate",
        'expected a rate such as 10/s, 90/m or 500/h, found "0/s"',
    ),
    (
        "no burst",
        "resiliency: {rateLimit: {rate: 1/s, burst: 0}}",
        1,
        "resiliency.rateLimit.burst",
        "expected a whole number from 1 to 1000000, found 0",
    ),
    (
        "scope of a rate",
        "resiliency: {rateLimit: {rate: 1/s, scope: pod}}",
        1,
        "resiliency.rateLimit.scope",
        'expected one of replica, actor, found "pod"',
    ),
    (
        "ratio above all",
        "resiliency: {circuitBreaker: {failureRatio: 50}}",
        1,
        "resiliency.circuitBreaker.failureRatio",
        "expected a number from 0.01 to 1, found 50",
    ),
    (
        "calls without a ratio",
        "resiliency: {circuitBreaker: {minCalls: 50}}",
        1,
        "resiliency.circuitBreaker.minCalls",
        "counts only with failureRatio, and there is none",
    ),
    (
        "open longer than the most",
        "resiliency: {circuitBreaker: {openFor: 10m}}",
        1,
        "resiliency.circuitBreaker.openFor",
        "openFor, 10m, is longer than maxOpenFor, 5m",
    ),
    (
        "open longer than the most, by default",
        "resiliency: {destinations: {b: {circuitBreaker: {maxOpenFor: 10s}}}}",
        1,
        "resiliency.destinations.b.circuitBreaker.maxOpenFor",
        "openFor, 30s, is longer than maxOpenFor, 10s",
    ),
    (
        "errors of a destination",
        "resiliency: {destinations: {b: {circuitBreaker: {errors: [A]}}}}",
        1,
        "resiliency.destinations.b.circuitBreaker.errors",
        (
            "unknown field here; it belongs at spec.resiliency.circuitBreaker.errors or "
            "spec.resiliency.rules[].errors (look at the indentation)"
        ),
    ),
    (
        "a destination's nothing",
        "resiliency: {destinations: {b: {}}}",
        1,
        "resiliency.destinations.b",
        "expected rateLimit or circuitBreaker",
    ),
    (
        "the end as a destination",
        "resiliency: {destinations: {x-sink: {rateLimit: {rate: 1/s}}}}",
        1,
        "resiliency.destinations.x-sink",
        "'x-sink' is where messages end by themselves, which nothing may hold up",
    ),
    (
        "itself as a destination",
        "resiliency: {destinations: {a: {rateLimit: {rate: 1/s}}}}",
        1,
        "resiliency.destinations.a",
        "is this actor itself, whose own rateLimit and circuitBreaker are one level up",
    ),
    (
        "route to no actor's name",
        "resiliency: {policies: {default: {onExhausted: [Human_Review]}}}",
        1,
        "resiliency.policies.default.onExhausted[0]",
        'expected a DNS label (lower-case letters, digits and dashes), found "Human_Review"',
    ),
    (
        "variable twice",
        "env:\n- {name: A, value: x}\n- {name: A, value: y}",
        3,
        "env[1].name",
        "variable 'A' is given twice; first at spec.env[0].name",
    ),
    (
        "variable twice, once from a Secret",
        "env: [{name: A}]\nsecretRefs:\n- secretName: s\n  keys: [{key: k, envVar: A}]",
        4,
        "secretRefs[0].keys[0].envVar",
        "variable 'A' is given twice; first at spec.env[0].name",
    ),
    (
        "reserved variable",
        "env: [{name: ASYA_HANDLER, value: h.g}]",
        1,
        "env[0].name",
        "'ASYA_HANDLER' is reserved: names that begin with ASYA_ belong to the platform",
    ),
    (
        "variable that has a field",
        "sidecar: {env: [{name: ASYA_PREFETCH, value: '5'}]}",
        1,
        "sidecar.env[0].name",
        "'ASYA_PREFETCH' has a field of its own: spec.sidecar.prefetch",
    ),
    (
        "variable of the platform",
        "sidecar: {env: [{name: ASYA_SOCKET_DIR, value: /s}]}",
        1,
        "sidecar.env[0].name",
        "'ASYA_SOCKET_DIR' is reserved: only the platform sets it",
    ),
    (
        "number as a variable",
        "env: [{name: PORT, value: 80}]",
        1,
        "env[0].value",
        'expected text, found 80; write it in quotes: "80"',
    ),
    (
        "flag as a variable",
        "env: [{name: D, value: true}]",
        1,
        "env[0].value",
        'expected text, found true; write it in quotes: "true"',
    ),
    (
        "value and reference",
        "env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]",
        1,
        "env[0].valueFrom",
        "expected either value or valueFrom, found both",
    ),
    (
        "mapping for a list",
        "env: {A: x}",
        1,
        "env",
        "expected a list of at most 100 entries, found a mapping",
    ),
    (
        "envFrom of nothing",
        "envFrom: [{prefix: P_}]",
        1,
        "envFrom[0]",
        "expected exactly one of secretRef and configMapRef",
    ),
    (
        "container of ours",
        "sidecars: [{name: asya-sidecar, image: x}]",
        1,
        "sidecars[0].name",
        "'asya-sidecar' is reserved: names that begin with asya- belong to the platform",
    ),
    (
        "container twice",
        "initContainers: [{name: c}]\nsidecars: [{name: c}]",
        2,
        "sidecars[0].name",
        "container 'c' is given twice; first at spec.initContainers[0].name",
    ),
    (
        "mount path twice",
        "volumes: [{name: v}]\nvolumeMounts:\n- {name: v, mountPath: /data}\n- {name: v, mountPath: /data}",
        4,
        "volumeMounts[1].mountPath",
        "mount path '/data' is given twice; first at spec.volumeMounts[0].mountPath",
    ),
    (
        "mount of no volume",
        "volumeMounts: [{name: w, mountPath: /w}]",
        1,
        "volumeMounts[0].name",
        "no volume is called 'w'; volumes: none",
    ),
    (
        "relative mount path",
        "volumes: [{name: v}]\nvolumeMounts: [{name: v, mountPath: data}]",
        2,
        "volumeMounts[0].mountPath",
        'expected an absolute path such as /data, without a colon and without a slash at its end, found "data"',
    ),
    (
        "mount path with a slash at its end",
        "volumes: [{name: v}]\nvolumeMounts: [{name: v, mountPath: /data/}]",
        2,
        "volumeMounts[0].mountPath",
        'expected an absolute path such as /data, without a colon and without a slash at its end, found "/data/"',
    ),
    (
        "no amount",
        "resources: {limits: {memory: lots}}",
        1,
        "resources.limits.memory",
        'expected an amount such as "1", 500m or 2Gi, found "lots"',
    ),
    (
        "fraction as an amount",
        "resources: {limits: {cpu: 0.5}}",
        1,
        "resources.limits.cpu",
        'expected an amount such as "1", 500m or 2Gi, found 0.5; write it in quotes: "0.5"',
    ),
    ("unknown transport", "transport: kafka", 1, "transport", 'expected one of rabbitmq, sqs, pubsub, found "kafka"'),
    (
        "handler without a module",
        "handler: predict",
        1,
        "handler",
        'expected module.function or module.Class.method, found "predict"',
    ),
    (
        "handler as a file",
        "handler: h.py:f",
        1,
        "handler",
        'expected module.function or module.Class.method, found "h.py:f"',
    ),
    (
        "handler as the name of a file",
        "handler: tools.handler.py",
        1,
        "handler",
        (
            'expected module.function or module.Class.method, found "tools.handler.py"; '
            "write module.function, for example tools.handler.f"
        ),
    ),
    (
        "name ends like a DLQ",
        "actor: b-dlq",
        1,
        "actor",
        "'b-dlq' is, or ends in, dlq, which is how dead-letter queues are called; choose another name",
    ),
    (
        "reserved name",
        "actor: x-sump",
        1,
        "actor",
        f"'x-sump' {RESERVED}",
    ),
    (
        "too many flavors",
        "flavors: [f-1, f-2, f-3, f-4, f-5, f-6, f-7, f-8, f-9]",
        1,
        "flavors",
        "expected a list of at most 8 entries, found a list of 9",
    ),
    (
        "no batch size",
        "runtime: {batch: {wait: 5ms}}",
        1,
        "runtime.batch.size",
        "missing; expected a whole number from 2 to 100000",
    ),
    (
        "fewer held than called",
        "sidecar: {concurrency: 4, prefetch: 2}",
        1,
        "sidecar.prefetch",
        "expected at least concurrency, which is 4, found 2",
    ),
    (
        "command and interpreter",
        "command: [tini]\npythonExecutable: python3.12",
        2,
        "pythonExecutable",
        "counts only without command; give one of the two",
    ),
    (
        "rolling update of nothing",
        "strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}",
        1,
        "strategy.rollingUpdate",
        "counts only with type RollingUpdate",
    ),
    (
        "no URL",
        "tracing: {endpoint: tempo:4317}",
        1,
        "tracing.endpoint",
        'expected an http:// or https:// URL, found "tempo:4317"',
    ),
    (
        "label key",
        "nodeSelector: {'a b': x}",
        1,
        "nodeSelector.a b",
        'expected a label key such as team or example.com/team as name, found "a b"',
    ),
    ("a tag", "args: !join [a, b]", 1, "args", "the tag !join is not known here"),
    (
        "dates are text, lists are not",
        "args: [2024-01-01, 5]",
        1,
        "args[1]",
        'expected text, found 5; write it in quotes: "5"',
    ),
]


@pytest.mark.parametrize(("reason", "yaml", "line", "path", "message"), IN_SPEC, ids=[case[0] for case in IN_SPEC])
def test_a_wrong_field_gives_one_line(reason: str, yaml: str, line: int, path: str, message: str) -> None:
    head = HEAD.replace("  handler: h.f\n", "") if yaml.startswith("handler:") else HEAD
    found = parse_manifests(head + indent(yaml, "  "), file="f.yaml")
    number = head.count("\n") + line
    assert [str(problem) for problem in found.problems] == [f"f.yaml:{number}: spec.{path}: {message}"]
    assert found.actors == []


def test_what_is_ours_and_what_is_passed_on_are_told_at_once() -> None:
    text = HEAD + "  volumes: [{name: V, emptyDir: {medium: 5, sizeLimit: {}}}]"
    assert [(problem.path, problem.message) for problem in parse_manifests(text).problems] == [
        ("spec.volumes[0].name", f'expected {LABEL}, found "V"'),
        ("spec.volumes[0].emptyDir.medium", 'expected text, found 5; write it in quotes: "5"'),
        (
            "spec.volumes[0].emptyDir.sizeLimit",
            'expected an amount such as "1", 500m or 2Gi, found an empty mapping',
        ),
    ]


# (what is wrong, whole document, whole line)
DOCUMENTS = [
    (
        "api version of a later day",
        "apiVersion: asya.sh/v1\nkind: AsyncActor",
        '1: apiVersion: expected asya.sh/v1alpha1, found "asya.sh/v1"',
    ),
    ("another group", "kind: AsyncActor\napiVersion: v1", '2: apiVersion: expected asya.sh/v1alpha1, found "v1"'),
    ("no version", "kind: AsyncActor", "1: apiVersion: expected asya.sh/v1alpha1, found nothing"),
    ("misspelt kind", "apiVersion: v1\nkind: AsycActor", '2: kind: expected AsyncActor, found "AsycActor"'),
    (
        "composite of v1",
        "apiVersion: asya.sh/v1alpha1\nkind: XAsyncActor",
        '2: kind: expected AsyncActor, found "XAsyncActor"',
    ),
    (
        "kind of ours that is not there",
        "apiVersion: asya.sh/v1\nkind: Flow",
        '2: kind: expected AsyncActor, found "Flow"',
    ),
    (
        "neither version nor kind",
        "spec: {handler: h.f, image: i}",
        "1: apiVersion: missing; expected asya.sh/v1alpha1, and kind: AsyncActor",
    ),
    (
        "no name",
        HEAD.replace("  name: a\n", "  labels: {team: x}\n"),
        "3: metadata.name: missing; expected a DNS label (lower-case letters, digits and dashes)",
    ),
    (
        "64 letters",
        HEAD.replace("name: a", "name: " + "a" * 64),
        f'4: metadata.name: expected {LABEL} of at most 63 characters, found "{"a" * 64}"',
    ),
    (
        "reserved name of the object",
        HEAD.replace("name: a", "name: x-sink"),
        f"4: metadata.name: 'x-sink' {RESERVED}",
    ),
    (
        "misspelt labels",
        HEAD.replace("  name: a", "  name: a\n  lables: {}"),
        "5: metadata.lables: unknown field; did you mean labels?",
    ),
    (
        "number as a label",
        HEAD.replace("  name: a", "  name: a\n  labels:\n    version: 2"),
        "6: metadata.labels.version: expected a label value (letters, digits, dashes, dots and underscores), found 2"
        + QUOTES,
    ),
    ("no spec", HEAD[: HEAD.index("spec")], "1: spec: missing; expected a mapping"),
    ("no image", HEAD.replace("  image: i:1\n", ""), "5: spec.image: missing; expected an image such as my-model:1.4"),
    (
        "no handler",
        HEAD.replace("  handler: h.f\n", ""),
        "5: spec.handler: missing; expected module.function or module.Class.method",
    ),
    ("empty image", HEAD.replace("i:1", '""'), '6: spec.image: expected text that is not empty, found ""'),
    ("spec is a list", HEAD[: HEAD.index("spec")] + "spec: []", "5: spec: expected a mapping, found an empty list"),
    (
        "unknown at the top",
        HEAD + "scaling: {}",
        "8: scaling: unknown field here; it belongs at spec.scaling (look at the indentation)",
    ),
    ("key twice", HEAD + "  image: j:2", "8: spec.image: key 'image' is given twice; first on line 6"),
    (
        "broken YAML",
        HEAD + "  scaling: {a: 1",
        "8: not YAML: while parsing a flow mapping, expected ',' or '}', but got '<stream end>' (column 17)",
    ),
    (
        "tab",
        HEAD + "\tscaling: {}",
        "8: not YAML: while scanning for the next token, found character '\\t' that cannot start any token (column 1)"
        + TABS,
    ),
    (
        "control character",
        HEAD + "  args: ['\x07']",
        "8: not YAML: character 0x0007 is not allowed",
    ),
    ("alias without end", "a: &a [*a]\nkind: AsyncActor\napiVersion: asya.sh/v1alpha1", None),
    ("nothing", "", "1: no AsyncActor in it"),
    ("comments only", "# a\n---\n# b\n", "1: no AsyncActor in it"),
    ("only others", "apiVersion: v1\nkind: ConfigMap\n", "1: no AsyncActor in it"),
    ("text", "just a text", "1: no AsyncActor in it"),
]


@pytest.mark.parametrize(("reason", "text", "line"), DOCUMENTS, ids=[case[0] for case in DOCUMENTS])
def test_a_wrong_document_gives_its_line(reason: str, text: str, line: str | None) -> None:
    problems = [str(problem) for problem in parse_manifests(text, file="f.yaml").problems]
    if line is None:
        assert "f.yaml:1: a[0]: an alias that contains itself" in problems
    else:
        assert problems == [f"f.yaml:{line}"]


def test_all_problems_of_a_manifest_come_at_once_in_order_of_lines() -> None:
    text = dedent("""\
        apiVersion: asya.sh/v1alpha1
        kind: AsyncActor
        metadata:
          name: A
        spec:
          handler: f
          scaling:
            minReplicaCount: 7
            maxReplicaCount: 5
            maxReplicas: 3
            pollingInterval: soon
          resiliency:
            rules:
            - errors: [ValueError]
              policy: gone
          env:
          - name: ASYA_X
          - value: v
        """)
    found = parse_manifests(text, file="f.yaml").problems
    places = [(problem.line, problem.path) for problem in found]
    assert places == [
        (4, "metadata.name"),
        (5, "spec.image"),
        (6, "spec.handler"),
        (8, "spec.scaling.minReplicaCount"),
        (10, "spec.scaling.maxReplicas"),
        (11, "spec.scaling.pollingInterval"),
        (15, "spec.resiliency.rules[0].policy"),
        (17, "spec.env[0].name"),
        (18, "spec.env[1].name"),
    ]


def test_aliases_cannot_be_expanded_without_bound() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    problems = parse_manifests(bomb, file="f.yaml").problems
    assert [str(problem) for problem in problems] == ["f.yaml:1: more than 100000 values in one document"]


def test_nesting_without_end_is_refused() -> None:
    for is_json in (False, True):
        problems = parse_manifests("[" * 20_000, file="f", is_json=is_json).problems
        assert len(problems) == 1
        assert problems[0].message.startswith(("nested too deep", "not JSON"))


def test_a_problem_says_what_was_expected_and_found_apart() -> None:
    (problem,) = parse_manifests(HEAD + "  scaling: {minReplicaCount: two}", file="f.yaml").problems
    assert (problem.expected, problem.found) == ("a whole number from 0 to 100000", '"two"')


@pytest.mark.parametrize("value", ["5", "[]", "{}", "text", "null", "[{}]", "[[]]", "{a: {b: []}}", "true"])
def test_rules_step_over_wrong_types(value: str) -> None:
    for name in ("spec", "metadata"):
        found = parse_manifests(f"apiVersion: asya.sh/v1alpha1\nkind: AsyncActor\n{name}: {value}")
        assert found.problems
    for field in (
        "scaling",
        "resiliency",
        "env",
        "secretRefs",
        "stateProxy",
        "sidecar",
        "volumeMounts",
        "strategy",
        "actor",
    ):
        parse_manifests(HEAD + f"  {field}: {value}")
    for field in ("policies", "rules", "nonRetryableErrors"):
        parse_manifests(HEAD + f"  resiliency:\n    {field}: {value}")

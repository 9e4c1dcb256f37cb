"""Checks deploy/kubernetes and deploy/compose.yaml against the programs.

    check.py FACTS     prints one line per problem, and fails if there is any
    check.py query     prints the SQL query that scales workers

FACTS is a JSON file about the programs:
  programs   the directory with media-api, media-worker and media-migrate
  stop       for each program, the seconds it may take to stop beyond MEDIA_SHUTDOWN_GRACE
  special    the networks that the egress gate refuses by default, as CIDRs
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import yaml

HERE = Path(__file__).parent
DEPLOY = HERE.parents[2] / "deploy"
OVERLAYS = sorted(path.name for path in (DEPLOY / "kubernetes/overlays").iterdir())
KUBERNETES = "1.32"
# Installed by `make install`.
KUBECTL = str(HERE.parents[2] / "target/clients/kubectl")
# Variables that libraries of the programs read.
NOT_SETTINGS = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_ENDPOINT_URL_S3",
    "RUST_LOG",
}
SERVING = {"media-api": "MEDIA_LISTEN", "media-worker": "MEDIA_WORKER_LISTEN"}

problems = []


def expect(holds, where, what):
    if not holds:
        problems.append(f"{where}: {what}")


def render(overlay):
    """Returns the manifests of an overlay as text."""
    command = [KUBECTL, "kustomize", str(DEPLOY / "kubernetes/overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"{overlay}: {' '.join(command)}\n{done.stderr}")
    return done.stdout


def validate(overlay, text):
    """Validates every resource with kubernetes-validate or the schemas in custom_resources.yaml."""
    validator = Path(sys.executable).parent / "kubernetes-validate"
    command = [validator, "--strict", "--quiet", "-k", KUBERNETES, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    custom = yaml.safe_load((HERE / "custom_resources.yaml").read_text())
    unknown = set()
    for line in (done.stdout + done.stderr).splitlines():
        found = re.search(r"Couldn't find schema for kind (\S+) with api version (\S+)", line)
        if found:
            unknown.add(f"{found[2]} {found[1]}")
        else:
            expect(False, overlay, line)
    expect(done.returncode == 0, overlay, f"kubernetes-validate ends with {done.returncode}")
    resources = list(yaml.safe_load_all(text))
    for resource in resources:
        kind = f"{resource['apiVersion']} {resource['kind']}"
        if kind not in unknown:
            continue
        if kind not in custom:
            expect(False, overlay, f"nothing knows {kind}")
            continue
        schema = {**custom[kind], "$defs": custom["$defs"]}
        for error in jsonschema.Draft202012Validator(schema).iter_errors(resource):
            expect(False, f"{overlay}: {kind}", f"{error.json_path}: {error.message}")
    return resources


def seconds(text):
    """Parses a time such as 30s or 1m."""
    number, unit = re.fullmatch(r"(\d+)\s*(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


class Program:
    """The settings of a program with their defaults, from its --help."""

    def __init__(self, directory, name):
        self.path = Path(directory) / name
        bare = {"PATH": os.environ["PATH"]}
        text = subprocess.run(
            [self.path, "--help"], capture_output=True, text=True, env=bare, check=True
        ).stdout
        self.settings = {}
        for part in text.split("[env: ")[1:]:
            default = re.search(r"\[default: ([^\]]*)\]", part.split("[env: ")[0])
            self.settings[re.match(r"[A-Z0-9_]+", part)[0]] = default and default[1]

    def check(self, where, variables):
        """Checks that variables are settings of this program with usable values."""
        expect(self.settings, where, f"{self.path.name} --help names no variables")
        for name in variables:
            known = name in self.settings or name in NOT_SETTINGS
            expect(known, where, f"{self.path.name} has no setting {name}")
        if self.path.name not in SERVING:
            return
        with tempfile.TemporaryDirectory() as directory:
            # The program reads its settings, and then finds no server at its address.
            done = subprocess.run(
                [self.path, "--probe"],
                capture_output=True,
                text=True,
                env={"PATH": os.environ["PATH"], **with_files(variables, directory)},
                timeout=60,
            )
        refused = done.returncode == 2 or "configuration" in done.stderr
        expect(not refused, where, f"{self.path.name} refuses its settings: {done.stderr}")

    def grace(self, variables):
        name = "MEDIA_SHUTDOWN_GRACE"
        return seconds(variables.get(name) or self.settings[name])


def made_up(name):
    """Returns a value in place of a secret."""
    return {
        "DATABASE_URL": "postgres://media:secret@database/media",
        "REDIS_URL": "redis://:secret@redis:6379",
    }.get(name, "x" * 48)


def with_files(variables, directory):
    """Returns the variables, with files of generated secrets in place of mounted ones."""
    replaced = dict(variables)
    for name, path in variables.items():
        if name.endswith("_FILE") and path:
            file = Path(directory) / name
            file.write_text(made_up(name.removesuffix("_FILE")))
            replaced[name] = str(file)
    return replaced


def variables_of(container, resources):
    """Returns the environment of a container in Kubernetes."""
    maps = {r["metadata"]["name"]: r["data"] for r in resources if r["kind"] == "ConfigMap"}
    variables = {}
    for source in container.get("envFrom", []):
        variables.update(maps[source["configMapRef"]["name"]])
    for entry in container.get("env", []):
        variables[entry["name"]] = entry.get("value") or made_up(entry["name"])
    return variables


def pods(resources):
    """Yields the owner and the template of each pod."""
    for resource in resources:
        if resource["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield resource, resource["spec"]["template"]


def check_confinement(where, pod):
    """Checks the restricted level of the Pod Security Standards, and resource limits."""
    spec = pod["spec"]
    expect(spec.get("automountServiceAccountToken") is False, where, "mounts a token")
    expect(spec.get("enableServiceLinks") is False, where, "variables are made from Services")
    context = spec.get("securityContext", {})
    expect(context.get("runAsNonRoot") is True, where, "may be root")
    expect(context.get("runAsUser", 0) > 0, where, "no numeric user")
    seccomp = context.get("seccompProfile", {}).get("type")
    expect(seccomp == "RuntimeDefault", where, "no seccomp profile")
    for volume in spec.get("volumes", []):
        sources = volume.get("projected", {}).get("sources", [])
        is_secrets = bool(sources) and all(set(source) == {"secret"} for source in sources)
        is_empty = set(volume) == {"name", "emptyDir"}
        expect(is_empty or is_secrets, where, f"volume {volume['name']}")
    for container in spec["containers"] + spec.get("initContainers", []):
        at = f"{where}: {container['name']}"
        context = container.get("securityContext", {})
        expect(context.get("allowPrivilegeEscalation") is False, at, "may gain privileges")
        expect(context.get("readOnlyRootFilesystem") is True, at, "may write")
        expect(context.get("capabilities") == {"drop": ["ALL"]}, at, "has capabilities")
        for what in ("requests", "limits"):
            amounts = container.get("resources", {}).get(what, {})
            expect({"cpu", "memory"} <= set(amounts), at, f"no {what} of CPU and memory")


def check_programs(where, resources, programs, stop):
    """Checks settings, probes and grace periods of the programs' pods."""
    seen = set()
    for owner, pod in pods(resources):
        at = f"{where}: {owner['kind']} {owner['metadata']['name']}"
        check_confinement(at, pod)
        for container in pod["spec"]["containers"] + pod["spec"].get("initContainers", []):
            name = container["image"].rsplit("/", 1)[-1].split(":")[0]
            if name not in programs:
                continue
            variables = variables_of(container, resources)
            programs[name].check(at, variables)
            seen.add(name)
            if name not in SERVING:
                continue
            port = int(variables[SERVING[name]].rsplit(":", 1)[-1])
            expect(container["ports"] == [{"name": "http", "containerPort": port}], at, "port")
            for probe, path in (
                ("startupProbe", "/livez"),
                ("livenessProbe", "/livez"),
                ("readinessProbe", "/readyz"),
            ):
                asked = container.get(probe, {}).get("httpGet")
                expect(asked == {"path": path, "port": "http"}, at, f"{probe} asks {asked}")
            hook = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
            needed = hook.get("seconds", 0) + programs[name].grace(variables) + stop[name]
            given = pod["spec"]["terminationGracePeriodSeconds"]
            expect(given >= needed, at, f"is killed after {given} s, but may take {needed} s")
            waits = [c.get("args") for c in pod["spec"].get("initContainers", [])]
            expect(["wait"] in waits, at, "does not wait for the schema")
    expect(seen == set(programs), where, f"has {sorted(seen)} of {sorted(programs)}")


def fits(selector, labels):
    return selector.items() <= labels.items()


def check_references(where, resources):
    """Checks that every reference names an existing resource."""
    labels = [pod["metadata"]["labels"] for _, pod in pods(resources)]
    named = {(r["kind"], r["metadata"]["name"]) for r in resources}
    for resource in resources:
        kind, name = resource["kind"], resource["metadata"]["name"]
        at, spec = f"{where}: {kind} {name}", resource.get("spec", {})
        expect(kind != "Secret", at, "secrets are not kept here")
        if kind in ("Service", "PodDisruptionBudget", "ServiceMonitor", "NetworkPolicy"):
            selector = spec.get("selector") or spec.get("podSelector") or {}
            selector = selector.get("matchLabels", {} if kind == "NetworkPolicy" else selector)
            expect(any(fits(selector, found) for found in labels), at, "selects nothing")
        if "scaleTargetRef" in spec:
            target = ("Deployment", spec["scaleTargetRef"]["name"])
            expect(target in named, at, f"scales nothing: {target}")
            for scaled in resources:
                if (scaled["kind"], scaled["metadata"]["name"]) == target:
                    free = "replicas" not in scaled["spec"]
                    expect(free, at, "each roll-out sets the number back")
        for trigger in spec.get("triggers", []):
            reference = ("TriggerAuthentication", trigger["authenticationRef"]["name"])
            expect(reference in named, at, f"no {reference}")
        if kind == "Deployment":
            budget = ("PodDisruptionBudget", name)
            expect(budget in named and ("Service", name) in named, at, "no budget or Service")
            account = ("ServiceAccount", spec["template"]["spec"]["serviceAccountName"])
            expect(account in named, at, f"no {account}")
            spread = spec["template"]["spec"].get("topologySpreadConstraints", [])
            expect(len(spread) == 2, at, "is not spread over zones and machines")
        if kind == "ServiceAccount":
            expect(resource["automountServiceAccountToken"] is False, at, "mounts a token")


def check_network(where, resources, special):
    """Checks that the network policy of workers matches their egress gate."""
    policies = {r["metadata"]["name"]: r["spec"] for r in resources if r["kind"] == "NetworkPolicy"}
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    expect(policies.get("nothing") == closed, where, "not everything is closed by default")
    [rule] = policies["media-worker-internet"]["egress"]
    blocks = {to["ipBlock"]["cidr"]: set(to["ipBlock"]["except"]) for to in rule["to"]}
    for cidr, version in (("0.0.0.0/0", 4), ("2000::/3", 6)):
        known = {network for network in special if (":" in network) == (version == 6)}
        differ = sorted(blocks.get(cidr, set()) ^ known)
        expect(not differ, where, f"workers' gate and policy differ in {differ}")
    [worker] = [p for o, p in pods(resources) if o["metadata"]["name"] == "media-worker"]
    variables = variables_of(worker["spec"]["containers"][0], resources)
    ports = [str(entry["port"]) for entry in rule["ports"]]
    asked = variables.get("MEDIA_EGRESS_PORTS", "")
    expect(ports == asked.split(","), where, f"workers reach ports {ports}, not {asked}")
    return variables


def check_scaling(where, resources, variables):
    """Checks that one worker is added per MEDIA_WORKER_CONCURRENCY jobs."""
    for resource in resources:
        for trigger in resource.get("spec", {}).get("triggers", []):
            target = trigger["metadata"]["targetQueryValue"]
            does = variables.get("MEDIA_WORKER_CONCURRENCY")
            expect(target == does, where, f"a worker does {does} jobs at once, not {target}")


def check_public_url(where, resources):
    hosts = [r["spec"]["rules"][0]["host"] for r in resources if r["kind"] == "Ingress"]
    for owner, pod in pods(resources):
        if owner["metadata"]["name"] == "media-api" and hosts:
            url = variables_of(pod["spec"]["containers"][0], resources).get("MEDIA_PUBLIC_URL")
            expect(url == f"https://{hosts[0]}", where, f"{url} is not at {hosts[0]}")


def check_compose(programs, stop, images):
    path = DEPLOY / "compose.yaml"
    example = (DEPLOY / ".env.example").read_text()
    made = subprocess.run([DEPLOY / "secrets", "env"], capture_output=True, text=True, check=True)
    names = re.compile(r"^([A-Z_]+)=", re.MULTILINE)
    same = names.findall(example) == names.findall(made.stdout)
    expect(same, "deploy/secrets", "makes up other variables than deploy/.env.example has")
    values = dict(line.split("=", 1) for line in made.stdout.splitlines())
    composer = subprocess.run(
        ["docker-compose", "-f", path, "config", "--quiet"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **values},
    )
    expect(composer.returncode == 0, "docker-compose config", composer.stderr)
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: values[found[1]], path.read_text())
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    services = yaml.safe_load(text)["services"]
    for name, service in services.items():
        at = f"compose.yaml: {name}"
        program = programs.get(service["image"])
        if program is None:
            is_optional = "profiles" in service
            known = is_optional or service["image"] in images
            expect(known, at, f"{service['image']}, but minimal has {images}")
            expect("healthcheck" in service, at, "no health check")
            continue
        expect(service["build"]["target"] == service["image"], at, "another target")
        expect(service["read_only"] and service["cap_drop"] == ["ALL"], at, "is not confined")
        variables = {key: str(value) for key, value in service["environment"].items()}
        program.check(at, variables)
        if service["image"] in SERVING:
            needed = program.grace(variables) + stop[service["image"]]
            given = seconds(service["stop_grace_period"])
            expect(given >= needed, at, f"is killed after {given} s, but may take {needed} s")
            asks = service.get("healthcheck", {}).get("test")
            own = ["CMD", f"/usr/local/bin/{service['image']}", "--probe"]
            expect(asks == own, at, f"its health is {asks}")


def check_containerfile():
    """Checks that the image uses the workspace's compiler, and that the layer of dependencies has every crate."""
    root = DEPLOY.parent
    text = (DEPLOY / "Containerfile").read_text()
    [channel] = re.findall(r'channel = "(.*)"', (root / "rust-toolchain.toml").read_text())
    expect(f"/rust:{channel}-" in text, "Containerfile", f"BUILDER is not of Rust {channel}")
    [members] = re.findall(r"^members = (\[.*\])", (root / "Cargo.toml").read_text(), re.MULTILINE)
    members = sorted(json.loads(members))
    copied = sorted(re.findall(r"^COPY (\S+)/Cargo.toml \1/$", text, re.MULTILINE))
    expect(copied == members, "Containerfile", f"copies the manifests of {copied}, not {members}")
    [listed] = re.findall(r"for crate in ([^;]*); do", text)
    expect(sorted(word for word in listed.split() if word != "\\") == members, "Containerfile", f"makes crates up for {listed}")
    ignored = (root / ".dockerignore").read_text()
    for member in members:
        expect(f"\n!{member}" in ignored, ".dockerignore", f"leaves {member} out")


def main(facts):
    programs = {
        name: Program(facts["programs"], name)
        for name in ("media-api", "media-worker", "media-migrate")
    }
    expect({"minimal", "production"} <= set(OVERLAYS), "overlays", f"{OVERLAYS}")
    for overlay in OVERLAYS:
        resources = validate(overlay, render(overlay))
        check_programs(overlay, resources, programs, facts["stop"])
        check_references(overlay, resources)
        variables = check_network(overlay, resources, facts["special"])
        check_scaling(overlay, resources, variables)
        check_public_url(overlay, resources)
        if overlay == "minimal":
            images = {
                pod["spec"]["containers"][0]["image"]
                for owner, pod in pods(resources)
                if owner["kind"] == "StatefulSet"
            }
    check_compose(programs, facts["stop"], images)
    check_containerfile()
    print("\n".join(problems), file=sys.stderr)
    sys.exit(1 if problems else 0)


def query():
    for resource in yaml.safe_load_all(render("production")):
        for trigger in resource.get("spec", {}).get("triggers", []):
            print(trigger["metadata"]["query"])


if sys.argv[1] == "query":
    query()
else:
    main(json.loads(Path(sys.argv[1]).read_text()))

/**
 * A mesh of real processes on this machine: control plane, a sidecar and an application for every workload instance.
 * Follows the manifests: what they add is started, what they drop is stopped, everything else is left alone.
 */
import { join } from "node:path";
import { stringify } from "yaml";
import { MeshError, type Problem } from "#lib/problem.ts";
import type { PlacedAddress } from "#control-plane/model/proxy-node.ts";
import { AddressBook, blockOf, detectShape, type AddressShape, type InstanceAddresses } from "./addresses.ts";
import { appEnvironment } from "./app-environment.ts";
import { sidecarBootstrap } from "./bootstrap.ts";
import { generatedObjects, type PlacedInstance } from "./generated-objects.ts";
import type { Guard } from "./guard.ts";
import type { Identities } from "./identities.ts";
import type { LocalMesh } from "./local-mesh.ts";
import type { MeshDirectory } from "./mesh-directory.ts";
import { writeMeshFile, type MeshFile } from "./mesh-file.ts";
import type { Plan, PlannedInstance, PlannedService } from "./planned.ts";
import type { Programs } from "./programs.ts";
import { meshFileOf, type Running } from "./running-mesh.ts";
import { accepts, answersReady, until } from "./readiness.ts";
import { sidecarCommand, type DataPlane } from "./sidecar-command.ts";
import { supervise, type Supervised, type SupervisionEvents } from "./supervised.ts";

/** Sidecars finish what they have; nobody waits longer than this at the end. */
const DRAIN_SECONDS = 2;

/** Tokens live for a day. */
const NEW_TOKENS_EVERY_MS = 6 * 3_600_000;

export interface MeshRunnerOptions {
  readonly paths: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly directory: MeshDirectory;
  readonly meshFile: string;
  readonly identities: Identities;
  readonly guard: Guard;
  readonly shape: AddressShape | "auto";
  readonly trustDomain: string;
  readonly workloadCertTtl: string | undefined;
  readonly cacerts: string | undefined;
  readonly logLevel: string;
  readonly dataPlane: DataPlane;
  readonly events: SupervisionEvents;
  readonly programs: Programs;
}

export interface MeshRunner {
  readonly file: MeshFile;
  /** Makes the processes those of `plan`. Calls must not overlap. */
  follow(plan: Plan): Promise<void>;
  /** Every control plane, sidecar and application answers. False when `signal` came first. */
  untilReady(signal: AbortSignal): Promise<boolean>;
  readonly controlPlane: Supervised;
  stop(): Promise<void>;
}

export async function startMesh(options: MeshRunnerOptions, plan: Plan): Promise<MeshRunner> {
  const { directory } = options;
  const book = await AddressBook.open(options.shape === "auto" ? await detectShape() : options.shape);
  const ports = { debug: await book.claim(), monitoring: await book.claim(), xds: await book.claim() };
  const running = new Map<string, Running>();
  const startedAtMs = Date.now();
  let services: readonly PlannedService[] = plan.services;

  const writeGenerated = (): void => {
    const placed: PlacedInstance[] = [...running.values()].map(({ instance, addresses, isReady }) => ({
      instance,
      addresses,
      isReady,
    }));
    const documents = generatedObjects(placed, services).map((object) => stringify(object));
    directory.writePrivate(join(directory.generated, "objects.yaml"), documents.join("---\n"));
  };
  const onHealth: HealthCallback = (instance, isReady) => {
    const entry = running.get(keyOf(instance));
    if (entry === undefined || entry.isReady === isReady) return;
    entry.isReady = isReady;
    writeGenerated();
  };
  // Addresses come first: the control plane starts with every workload in sight.
  const placed = await placeAll(plan.instances, plan.services, book, directory);
  for (const [key, instance, addresses] of placed) {
    running.set(key, { instance, addresses, sidecar: undefined, app: undefined, isReady: true });
  }
  writeGenerated();
  const controlPlane = superviseControlPlane(options, ports);
  for (const [key, instance, addresses] of placed)
    running.set(key, await startInstance(options, instance, addresses, ports.xds, onHealth));

  const renewal = setInterval(() => {
    for (const { instance } of running.values()) if (instance.hasSidecar) void writeToken(options, instance);
  }, NEW_TOKENS_EVERY_MS);

  const runner: MeshRunner = {
    controlPlane,
    get file() {
      return meshFileOf(options, ports, controlPlane, running, services, startedAtMs);
    },
    async follow(next) {
      services = next.services;
      const wanted = new Map(next.instances.map((instance) => [keyOf(instance), instance]));
      const gone = [...running].filter(([key]) => !wanted.has(key));
      const fresh = next.instances.filter((instance) => !running.has(keyOf(instance)));
      for (const [key] of gone) running.delete(key);
      for (const [key, instance, addresses] of await placeAll(fresh, services, book, directory)) {
        running.set(key, await startInstance(options, instance, addresses, ports.xds, onHealth));
      }
      for (const [key, entry] of running) {
        const instance = wanted.get(key) ?? entry.instance;
        if (instance.isGateway) entry.addresses = await book.withPorts(entry.addresses, instance);
        entry.instance = instance;
        entry.addresses = await withServices(entry, services, book);
      }
      writeGenerated();
      writeMeshFile(options.meshFile, runner.file);
      // The others have heard that these are gone; what they still have to do, they finish.
      await Promise.all(gone.map(([, entry]) => stopInstance(entry)));
    },
    async untilReady(signal) {
      if (!(await until(answersReady(ports.debug), signal))) return false;
      const all = await Promise.all(
        [...running.values()].map(({ instance, addresses }) => untilAnswering(instance, addresses, signal)),
      );
      writeMeshFile(options.meshFile, runner.file);
      return all.every(Boolean);
    },
    async stop() {
      clearInterval(renewal);
      await Promise.all([...running.values()].map(stopInstance));
      await controlPlane.stop(2000);
      book.close();
    },
  };
  writeMeshFile(options.meshFile, runner.file);
  return runner;
}

type Placed = readonly [key: string, instance: PlannedInstance, addresses: InstanceAddresses];

async function placeAll(
  instances: readonly PlannedInstance[],
  services: readonly PlannedService[],
  book: AddressBook,
  directory: MeshDirectory,
): Promise<readonly Placed[]> {
  const placed: Placed[] = [];
  for (const instance of instances) {
    const callLog = directory.file("call-log", instance.pod, instance.namespace);
    placed.push([keyOf(instance), instance, await book.place(instance, services, callLog)]);
  }
  return placed;
}

/** A changed template is another pod, as in a cluster; what a gateway serves is none of its template. */
function keyOf(instance: PlannedInstance): string {
  return JSON.stringify(instance.isGateway ? { ...instance, servers: undefined, ports: undefined } : instance);
}

async function withServices(
  entry: Running,
  services: readonly PlannedService[],
  book: AddressBook,
): Promise<InstanceAddresses> {
  const { addresses, instance } = entry;
  if (!instance.hasSidecar || instance.isGateway) return addresses;
  const outbound = await book.outbound(blockOf(addresses.ip), services, addresses.placement.outbound);
  return { ...addresses, placement: { ...addresses.placement, outbound } };
}

function superviseControlPlane(
  options: MeshRunnerOptions,
  ports: Readonly<Record<"debug" | "monitoring" | "xds", PlacedAddress>>,
): Supervised {
  const flag = (name: string, value: string | undefined): readonly string[] =>
    value === undefined ? [] : [`--${name}`, value];
  return supervise(
    {
      name: "control-plane",
      command: [
        process.execPath,
        options.programs.controlPlane,
        ...options.paths.flatMap((path) => ["-f", path]),
        "-f",
        options.directory.generated,
        ...flag("state-dir", options.directory.state),
        ...flag("http-port", String(ports.debug.port)),
        ...flag("monitoring-port", String(ports.monitoring.port)),
        ...flag("secure-grpc-port", String(ports.xds.port)),
        ...flag("trust-domain", options.trustDomain),
        ...flag("cacerts", options.cacerts),
        ...flag("workload-cert-ttl", options.workloadCertTtl),
      ],
      cwd: options.cwd,
      env: options.env,
      logFile: join(options.directory.logs, "control-plane.log"),
    },
    options.guard,
    options.events,
  );
}

/** Told when a process of an instance ended on its own, and when all of the instance answers again. */
type HealthCallback = (instance: PlannedInstance, isReady: boolean) => void;

async function startInstance(
  options: MeshRunnerOptions,
  instance: PlannedInstance,
  addresses: InstanceAddresses,
  xds: PlacedAddress,
  onHealth: HealthCallback,
): Promise<Running> {
  const events = healthEvents(options.events, instance, addresses, onHealth);
  const { directory, identities } = options;
  const { pod, namespace } = instance;
  let sidecar: Supervised | undefined;
  if (instance.hasSidecar) {
    const tokenFile = await writeToken(options, instance);
    const bootstrapFile = directory.file("bootstrap", pod, namespace);
    const bootstrap = sidecarBootstrap({
      instance,
      addresses,
      trustDomain: options.trustDomain,
      controlPlane: xds,
      rootCertificateFile: identities.rootCertificateFile,
      tokenFile,
      workloadCertTtl: options.workloadCertTtl,
    });
    directory.writePrivate(bootstrapFile, JSON.stringify(bootstrap, undefined, 1));
    sidecar = supervise(
      {
        name: instance.isGateway ? `gateway ${pod}` : `sidecar of ${pod}`,
        command: sidecarCommand(options, bootstrapFile, DRAIN_SECONDS),
        cwd: options.cwd,
        env: options.env,
        logFile: directory.file("sidecar-log", pod, namespace),
      },
      options.guard,
      events,
    );
  }
  return { instance, addresses, sidecar, app: superviseApp(options, instance, addresses, events), isReady: true };
}

/** A pod whose container has ended is not ready until all of it answers again, as a kubelet would say. */
function healthEvents(
  events: SupervisionEvents,
  instance: PlannedInstance,
  addresses: InstanceAddresses,
  onHealth: HealthCallback,
): SupervisionEvents {
  let isDown = false;
  return {
    onEnded(...args) {
      isDown = true;
      onHealth(instance, false);
      events.onEnded(...args);
    },
    onStarted(name) {
      events.onStarted(name);
      if (!isDown) return;
      isDown = false;
      void untilAnswering(instance, addresses, AbortSignal.timeout(60_000)).then((isReady) => {
        if (isReady && !isDown) onHealth(instance, true);
      });
    },
  };
}

async function writeToken({ directory, identities }: MeshRunnerOptions, instance: PlannedInstance): Promise<string> {
  const file = directory.file("token", instance.pod, instance.namespace);
  directory.writePrivate(file, await identities.mintToken(instance.namespace, instance.serviceAccount));
  return file;
}

/** None where the application runs already, or has no port to be called on and no command to run. */
function superviseApp(
  options: MeshRunnerOptions,
  instance: PlannedInstance,
  addresses: InstanceAddresses,
  events: SupervisionEvents,
): Supervised | undefined {
  const { local, ports, pod, namespace } = instance;
  if (instance.isGateway || local?.address !== undefined) return undefined;
  if (local?.command === undefined && ports.length === 0) return undefined;
  const command = local?.command ?? [process.execPath, options.programs.echo];
  return supervise(
    {
      name: pod,
      // `node` in a command means the Node that runs the mesh.
      command: command[0] === "node" ? [process.execPath, ...command.slice(1)] : command,
      cwd: local?.command === undefined ? options.cwd : local.cwd,
      env: { ...options.env, ...appEnvironment(instance, addresses) },
      logFile: options.directory.file("app-log", pod, namespace),
    },
    options.guard,
    events,
  );
}

/** The sidecar is LIVE and the application accepts on every port. */
async function untilAnswering(
  instance: PlannedInstance,
  addresses: InstanceAddresses,
  signal: AbortSignal,
): Promise<boolean> {
  const waits = [];
  if (instance.hasSidecar) waits.push(until(answersReady(addresses.admin), signal));
  // A port of a gateway is open once something routes through it.
  for (const { app } of instance.isGateway ? [] : addresses.placement.inbound) waits.push(until(accepts(app), signal));
  return (await Promise.all(waits)).every(Boolean);
}

async function stopInstance({ sidecar, app }: Running): Promise<void> {
  // The sidecar first: what it has in hand still needs its application.
  await sidecar?.stop((DRAIN_SECONDS + 1) * 1000);
  await app?.stop(2000);
}

/** Throws when manifests name nothing to run. */
export function requireWorkloads(
  plan: Plan,
  paths: readonly string[],
  local: LocalMesh,
  problems: readonly Problem[],
): void {
  if (plan.instances.length > 0) return;
  const hint = local.workloads.size > 0 ? " (glassmesh.yaml names some, but no Deployment has their names)" : "";
  throw new MeshError(
    "nothing-to-run",
    `${paths.join(", ")} has no Deployment, StatefulSet or Pod to run${hint}; bring Services and Deployments along`,
    problems,
  );
}

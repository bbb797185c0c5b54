/** The whole control plane, put together: sources → mesh → xDS, the CA, and the debug ports. No module state. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collectDefaultMetrics } from "prom-client";
import { MeshError, type Problem } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import { openBundleEndpoint, type BundleEndpointOptions } from "./ca/bundle-endpoint.ts";
import { followBundles, type FederatedBundles, type FederationTarget } from "./ca/federated-bundles.ts";
import { createCaService } from "./ca/ca-service.ts";
import {
  CONTROL_PLANE_NAMES,
  createServerCredentials,
  type RotatingServerCredentials,
} from "./ca/server-credentials.ts";
import { openAuthority, type OpenedAuthority, type TokenSources } from "./certificate-authority-of.ts";
import { createMeshConfigSource } from "./config/mesh-config-source.ts";
import type { ConfigSource } from "./config/source.ts";
import { createConfigStore } from "./config/store.ts";
import { configEvent } from "./debug/config-event.ts";
import { openDebugPort, openMonitoringPort, type HttpPort } from "./debug/debug-server.ts";
import type { DebugView } from "./debug/debug-view.ts";
import { createDebugOverXds } from "./debug/debug-over-xds.ts";
import { createMetrics } from "./debug/metrics.ts";
import { createFetchText } from "./jwks/fetch-text.ts";
import { createKeySetResolver } from "./jwks/key-set-resolver.ts";
import { openGrpcPort, type GrpcPort } from "./grpc-port.ts";
import type { MeshIndex } from "./model/mesh-index.ts";
import { createTranslator } from "./translate/translator.ts";
import type { Translator } from "./translate/types.ts";
import { loadFindings } from "./analyze/load-findings.ts";
import { validateObject } from "./validate/validate-object.ts";
import { trustResource } from "./xds/trust-resource.ts";
import { createAdsServer, type AdsServer, type ConnectedProxy } from "./xds/ads-server.ts";
import { createEventBus, type ControlPlaneEvent } from "./xds/events.ts";

export interface ControlPlaneOptions {
  /** Address of all ports. Default `127.0.0.1`. */
  readonly address?: string | undefined;
  /** 0 takes any free port; undefined opens none. */
  readonly ports: {
    readonly http?: number | undefined;
    readonly monitoring?: number | undefined;
    /** Plaintext xDS and CA: whoever reaches it gets configuration. */
    readonly grpc?: number | undefined;
    readonly secureGrpc?: number | undefined;
    /** The SPIFFE bundle endpoint. */
    readonly bundle?: number | undefined;
  };
  /** Of the bundle endpoint; without `web` it proves itself by an SVID. */
  readonly bundleEndpoint?:
    | { readonly web?: BundleEndpointOptions["web"]; readonly refreshHintSeconds?: number | undefined }
    | undefined;
  /** Trust domains whose bundles are followed. */
  readonly federation?: readonly FederationTarget[] | undefined;
  /** CA root and token key. Default: a directory that ends with the control plane. */
  readonly stateDirectory?: string | undefined;
  readonly caCertsDirectory?: string | undefined;
  /** Over the mesh configuration's. */
  readonly trustDomain?: string | undefined;
  readonly meshConfigFile?: string | undefined;
  readonly workloadCertTtlMs?: number | undefined;
  /** Issuers of workload tokens beside our own, and the API server that is asked about them. */
  readonly tokens?: Omit<TokenSources, "blockedCidrs" | "refreshMs"> | undefined;
  /** Istio's PILOT_DEBOUNCE_AFTER and PILOT_DEBOUNCE_MAX: 100 ms, 10 s. */
  readonly debounceMs?: { readonly quiet: number; readonly max: number } | undefined;
  /** Fetching the key sets of JWT rules: networks that are never asked, and how often keys are fetched again (20 minutes). */
  readonly jwks?: { readonly blockedCidrs?: readonly string[]; readonly refreshMs?: number } | undefined;
  /** Metrics of the process beside the control plane's own. */
  readonly hasProcessMetrics?: boolean | undefined;
  readonly version?: string | undefined;
}

export interface BoundPorts {
  readonly address: string;
  readonly http?: number;
  readonly monitoring?: number;
  readonly grpc?: number;
  readonly secureGrpc?: number;
  readonly bundle?: number;
}

export interface ControlPlane {
  /** Reads everything and opens the ports. Rejects with a MeshError, leaving nothing open. */
  start(): Promise<BoundPorts>;
  readonly mesh: MeshIndex;
  /** What was refused, ignored or is questionable, now. */
  problems(): readonly Problem[];
  connections(): readonly ConnectedProxy[];
  /** Returns what ends the subscription. */
  subscribe(listener: (event: ControlPlaneEvent) => void): () => void;
  /** PEM of the roots that workloads trust; after `start`. */
  readonly rootsPem: string;
  close(): Promise<void>;
}

export interface ControlPlaneDeps {
  readonly runtime: Runtime;
  /** Later ones count over earlier ones. */
  readonly sources: readonly ConfigSource[];
  readonly options: ControlPlaneOptions;
  /** Default: Istio's semantics (control-plane/translate). */
  readonly translator?: Translator;
}

export function createControlPlane({
  runtime,
  sources,
  options,
  translator = createTranslator(),
}: ControlPlaneDeps): ControlPlane {
  const { address = "127.0.0.1", version = "0.1.0", ports, debounceMs } = options;
  const log = runtime.log.child("control-plane");
  const identifier = JSON.stringify({ Component: "istiod", ID: "glassmesh", Info: { version } });
  const events = createEventBus();
  const metrics = createMetrics(runtime.clock, version);
  if (options.hasProcessMetrics === true) collectDefaultMetrics({ register: metrics.registry });
  const closing: (() => Promise<void> | void)[] = [];
  let opened: OpenedAuthority | undefined;
  let federated: FederatedBundles | undefined;
  let trustDomain: string | undefined;
  let ads: AdsServer | undefined;
  let isReady = false;

  const allSources =
    options.meshConfigFile === undefined
      ? sources
      : [...sources, createMeshConfigSource(runtime, options.meshConfigFile)];
  const store = createConfigStore({
    sources: allSources,
    trustDomain: options.trustDomain,
    validate: validateObject,
    relate: loadFindings,
    onChange: meshChanged,
  });
  const fetcher = createFetchText(runtime.network, options.jwks?.blockedCidrs ?? []);
  const keySets = createKeySetResolver({
    clock: runtime.clock,
    log: runtime.log.child("jwks"),
    fetch: fetcher.fetch,
    ...(options.jwks?.refreshMs !== undefined && { refreshMs: options.jwks.refreshMs }),
    onChange: () => meshChanged(store.mesh),
  });
  let told: MeshIndex = store.mesh;

  function meshChanged(read: MeshIndex): void {
    const mesh = keySets.withKeySets(read);
    const isSame = mesh.version === told.version && sameProblems(mesh.problems, told.problems);
    if (isSame) return;
    const isSameMesh = mesh.version === told.version;
    told = mesh;
    metrics.configRead(mesh);
    events.emit(configEvent(mesh));
    const refused = mesh.problems.filter(({ level }) => level === "error").length;
    log.info(`configuration ${mesh.version} read`, { services: mesh.services.length, refused });
    if (!isSameMesh) ads?.update(mesh);
  }

  function problems(): readonly Problem[] {
    const mesh = told;
    const moved: readonly Problem[] =
      trustDomain === undefined || mesh.meshConfig.trustDomain === trustDomain
        ? []
        : [
            {
              code: "restart-needed",
              level: "warning",
              path: "meshConfig.trustDomain",
              message: `the trust domain is ${trustDomain} since the start; restart the control plane for ${mesh.meshConfig.trustDomain}.`,
            },
          ];
    return [
      ...mesh.problems,
      ...(opened?.problems() ?? []),
      ...(federated?.problems ?? []),
      ...moved,
      ...(ads?.problems() ?? []),
    ];
  }

  const view: DebugView = {
    isReady: () => isReady,
    mesh: () => told,
    connections: () => ads?.connections() ?? [],
    problems,
    events,
    version,
    identifier: "glassmesh",
    nowMs: () => runtime.clock.now(),
  };

  async function open(): Promise<BoundPorts> {
    closing.push(
      () => store.close(),
      () => fetcher.close(),
      () => keySets.close(),
    );
    const mesh = keySets.withKeySets(await store.start());
    ({ trustDomain } = mesh.meshConfig);
    told = mesh;
    metrics.configRead(mesh);
    const onAuthority: (() => void)[] = [];
    const { refreshHintSeconds = 60 } = options.bundleEndpoint ?? {};
    const ownCa = await openAuthority(runtime, {
      stateDirectory: await stateDirectory(),
      caCertsDirectory: options.caCertsDirectory,
      trustDomain,
      workloadCertTtlMs: options.workloadCertTtlMs,
      tokens: options.tokens && {
        ...options.tokens,
        blockedCidrs: options.jwks?.blockedCidrs ?? [],
        refreshMs: options.jwks?.refreshMs,
      },
      // Other domains know our new roots only when they have fetched them.
      overlapMs: ports.bundle === undefined ? undefined : Math.max(15_000, 2000 * refreshHintSeconds),
      onChange: () => onAuthority.forEach((hear) => hear()),
    });
    opened = ownCa;
    closing.push(() => ownCa.close());
    const { authority, authenticators } = ownCa;
    const others = followBundles(runtime, options.federation ?? [], {
      ownTrustDomain: trustDomain,
      blockedCidrs: options.jwks?.blockedCidrs ?? [],
      onChange: () => tellTrust(),
    });
    federated = others;
    closing.push(() => others.close());
    let trust = trustResource(authority(), others.bundles);
    const server = createAdsServer(
      {
        runtime,
        translator,
        authenticators,
        events,
        metrics: metrics.xds,
        identifier,
        trust: () => trust,
        debug: createDebugOverXds(view),
        quietMs: debounceMs?.quiet,
        maxMs: debounceMs?.max,
      },
      mesh,
    );
    ads = server;
    const ca = createCaService({
      authority,
      authenticators,
      metrics: metrics.ca,
      log: runtime.log.child("ca"),
    });
    function tellTrust(): void {
      trust = trustResource(authority(), others.bundles);
      server.trustChanged();
    }
    onAuthority.push(() => {
      tellTrust();
      ca.authorityChanged();
    });
    const bound: { -readonly [Key in keyof BoundPorts]: BoundPorts[Key] } = { address };
    if (ports.secureGrpc !== undefined) {
      const credentials = await createServerCredentials({
        runtime,
        authority,
        names: namesFor(address),
      });
      closing.push(() => credentials.close());
      onAuthority.push(() => credentials.renewNow());
      bound.secureGrpc = await grpcPort(ports.secureGrpc, credentials, "--secure-grpc-port");
    }
    if (ports.grpc !== undefined) {
      log.warning("the plaintext gRPC port gives configuration to whoever reaches it");
      bound.grpc = await grpcPort(ports.grpc, undefined, "--grpc-port");
    }
    if (ports.bundle !== undefined) {
      const endpoint = await openBundleEndpoint({
        runtime,
        address,
        port: ports.bundle,
        trustDomain,
        authority,
        web: options.bundleEndpoint?.web,
        refreshHintSeconds,
      });
      closing.push(() => endpoint.close());
      onAuthority.push(() => endpoint.authorityChanged());
      bound.bundle = endpoint.port;
    }
    if (ports.http !== undefined) bound.http = await httpPort(openDebugPort(view, address, ports.http, "--http-port"));
    if (ports.monitoring !== undefined) {
      bound.monitoring = await httpPort(
        openMonitoringPort(metrics, view, address, ports.monitoring, "--monitoring-port"),
      );
    }
    // Streams end before the ports that carry them.
    closing.push(() => server.close());
    isReady = true;
    return bound;

    async function grpcPort(port: number, tls: RotatingServerCredentials | undefined, flag: string): Promise<number> {
      const bind: GrpcPort = await openGrpcPort({
        clock: runtime.clock,
        address,
        port,
        flag,
        tls: tls?.credentials,
        ads: server,
        ca,
      });
      closing.push(() => bind.close());
      return bind.port;
    }
  }

  async function httpPort(opening: Promise<HttpPort>): Promise<number> {
    const port = await opening;
    closing.push(() => port.close());
    return port.port;
  }

  async function stateDirectory(): Promise<string> {
    if (options.stateDirectory !== undefined) return options.stateDirectory;
    const directory = await mkdtemp(join(tmpdir(), "glassmesh-"));
    closing.push(() => rm(directory, { recursive: true, force: true }));
    return directory;
  }

  async function close(): Promise<void> {
    isReady = false;
    // The last that was opened closes first.
    for (const one of closing.splice(0).toReversed()) {
      // oxlint-disable-next-line no-await-in-loop
      await one();
    }
  }

  return {
    async start() {
      try {
        return await open();
      } catch (error) {
        await close();
        throw error;
      }
    },
    get mesh() {
      return told;
    },
    get rootsPem() {
      return opened?.authority().rootsPem ?? "";
    },
    problems,
    connections: () => ads?.connections() ?? [],
    subscribe: (listener) => events.subscribe(listener),
    close,
  };
}

function sameProblems(one: readonly Problem[], other: readonly Problem[]): boolean {
  return one.length === other.length && one.every((problem, index) => sameProblem(problem, other[index]));
}

function sameProblem(one: Problem, other: Problem | undefined): boolean {
  return one.message === other?.message && one.object === other.object && one.source?.line === other.source?.line;
}

/** Proxies find the control plane by its usual names, and by the address it listens on. */
function namesFor(address: string): { readonly dnsNames: readonly string[]; readonly ipAddresses: readonly string[] } {
  const { dnsNames, ipAddresses } = CONTROL_PLANE_NAMES;
  const isAny = address === "0.0.0.0" || address === "::";
  if (isAny || ipAddresses.includes(address)) return { dnsNames, ipAddresses };
  if (/^[\d.]+$|:/.test(address)) return { dnsNames, ipAddresses: [...ipAddresses, address] };
  if (/^[a-z0-9.-]+$/i.test(address)) return { dnsNames: [...dnsNames, address], ipAddresses };
  throw new MeshError(
    "bad-address",
    `${JSON.stringify(address)} is no address to listen on; name an IP address with --address.`,
  );
}

/** The Gateways of a proxy as one: which servers there are on which port (rules 99, 100, 104). */
import type { MeshObject } from "../model/object.ts";
import type { Protocol } from "../model/service.ts";
import { protocolFromName } from "../model/protocol.ts";
import { type PortTargets, resolvePorts, targetsOfServices, targetsOfWorkload } from "./gateway-ports.ts";
import { byText } from "./json.ts";
import { selects } from "./labels.ts";
import { memoized } from "./memo.ts";
import { listenerProtocol } from "./protocols.ts";
import type { GatewaySpec, ServerSpec, ServerTls } from "./spec/gateway.ts";
import { specOf } from "./spec/spec.ts";
import { report, type View } from "./view.ts";

/** Of a Gateway made from another API: hosts of the Services whose workloads serve it, separated by commas. */
export const GATEWAY_SERVICE_ANNOTATION = "internal.istio.io/gateway-service";

/** One server of one Gateway, on the port that it listens on. */
export interface GatewayServer {
  readonly object: MeshObject;
  /** `namespace/name` of the Gateway, as VirtualServices call it. */
  readonly gateway: string;
  readonly path: string;
  readonly spec: ServerSpec;
  readonly tls: ServerTls | undefined;
  /** As the Gateway writes it. */
  readonly port: number;
  readonly protocol: Protocol;
  readonly bind: string;
  /** `host`, or `namespace/host`. */
  readonly hosts: readonly string[];
  /** Without namespaces, each once, sorted: what the filter chain is matched by. */
  readonly sniHosts: readonly string[];
  /** Empty for a server without HTTP. */
  readonly routeName: string;
}

/** Servers that share a port, a protocol and an address. */
export interface ServerPort {
  /** The port that is listened on. */
  readonly number: number;
  readonly protocol: Protocol;
  readonly bind: string;
  readonly routeName: string;
  readonly servers: readonly GatewayServer[];
}

export interface MergedGateway {
  readonly ports: readonly ServerPort[];
  readonly serversByRouteName: ReadonlyMap<string, readonly GatewayServer[]>;
}

/** Undefined for a proxy that no Gateway is for. */
export const mergedGateway: (view: View) => MergedGateway | undefined = memoized(
  (view: View): MergedGateway | undefined => {
    if (view.proxy.type !== "router") return undefined;
    const merge = new Merge(view);
    let isSelected = false;
    for (const object of view.mesh.objects<GatewaySpec>("Gateway")) {
      const targets = targetsFor(view, object);
      if (targets === undefined) continue;
      isSelected = true;
      for (const [index, spec] of (specOf<GatewaySpec>(object).servers ?? []).entries()) {
        for (const number of resolvePorts(spec.port?.number ?? 0, targets)) {
          merge.add(number, serverFrom(object, spec, index, number));
        }
      }
    }
    return isSelected ? merge.result() : undefined;
  },
);

/** A Gateway is for the workloads that its labels select, in every namespace; without a selector for all. */
function targetsFor(view: View, object: MeshObject): PortTargets | undefined {
  const { annotations, namespace } = object.metadata;
  const services = annotations[GATEWAY_SERVICE_ANNOTATION];
  if (services !== undefined) return targetsOfServices(view, services.split(","), namespace);
  return selects(specOf<GatewaySpec>(object).selector, view.labels) ? targetsOfWorkload(view) : undefined;
}

function serverFrom(object: MeshObject, spec: ServerSpec, index: number, listenPort: number): GatewayServer {
  const { name, namespace } = object.metadata;
  const protocol = protocolFromName(spec.port?.protocol ?? "");
  const hosts = hostsOf(spec, namespace);
  const server = {
    object,
    gateway: `${namespace}/${name}`,
    path: `spec.servers[${index}]`,
    spec,
    tls: spec.tls,
    port: spec.port?.number ?? 0,
    protocol,
    bind: spec.bind ?? "",
    hosts,
    sniHosts: [...new Set(hosts.map((host) => host.slice(host.indexOf("/") + 1)))].toSorted(byText),
  };
  return { ...server, routeName: routeNameOf(server, listenPort) };
}

/** `./host` is for the Gateway's own namespace, `*` + `/host` for all: the namespace is left out. */
function hostsOf(spec: ServerSpec, namespace: string): readonly string[] {
  const result: string[] = [];
  for (const host of spec.hosts ?? []) {
    const slash = host.indexOf("/");
    const [space, name] = [host.slice(0, Math.max(slash, 0)), host.slice(slash + 1)];
    if (space === "*" && name === "*") return ["*"];
    if (slash < 0 || space === "*") result.push(name);
    else result.push(`${space === "." ? namespace : space}/${name}`);
  }
  return result;
}

type NamedServer = Omit<GatewayServer, "routeName">;

/** `http.8080` for all of a port; `https.443.<port name>.<gateway>.<namespace>` for one server. */
function routeNameOf(server: NamedServer, listenPort: number): string {
  const bind = server.bind === "" ? "" : `.${server.bind}`;
  if (isPlainHttp(server)) return `http.${listenPort}${bind}`;
  const { name, namespace } = server.object.metadata;
  if (server.protocol === "HTTPS" && !passesTlsThrough(server)) {
    return `https.${server.port}.${server.spec.port?.name ?? ""}.${name}.${namespace}${bind}`;
  }
  return "";
}

export function isPlainHttp({ protocol }: { readonly protocol: Protocol }): boolean {
  return listenerProtocol(protocol) === "http";
}

/** HTTP behind TLS that ends here. */
export function terminatesHttps(server: Pick<GatewayServer, "protocol" | "tls">): boolean {
  return server.protocol === "HTTPS" && server.tls !== undefined && !passesTlsThrough(server);
}

export function passesTlsThrough({ tls }: Pick<GatewayServer, "tls">): boolean {
  if (tls === undefined) return false;
  const mode = tls.mode ?? "PASSTHROUGH";
  return mode === "PASSTHROUGH" || mode === "AUTO_PASSTHROUGH";
}

interface PortInMaking {
  readonly number: number;
  readonly protocol: Protocol;
  readonly bind: string;
  routeName: string;
  readonly servers: GatewayServer[];
}

/** Oldest Gateway first: what conflicts with a server that is there already is left out. */
class Merge {
  readonly #view: View;
  readonly #ports = new Map<string, PortInMaking>();
  readonly #byRouteName = new Map<string, GatewayServer[]>();
  readonly #taken = new Set<number>();
  /** The plaintext port that was first on a number. */
  readonly #plaintext = new Map<number, PortInMaking>();
  readonly #tlsHosts = new Map<number, Map<string, string>>();
  readonly #tlsBinds = new Map<number, Set<string>>();

  constructor(view: View) {
    this.#view = view;
  }

  result(): MergedGateway {
    return { ports: [...this.#ports.values()], serversByRouteName: this.#byRouteName };
  }

  add(number: number, server: GatewayServer): void {
    if (server.tls !== undefined && !this.#claimHosts(number, server)) return;
    if (!this.#taken.has(number)) this.#open(number, server);
    else {
      const plaintext = this.#plaintext.get(number);
      if (plaintext !== undefined) this.#joinPlaintext(number, server, plaintext);
      else this.#joinTls(number, server);
    }
  }

  #open(number: number, server: GatewayServer): void {
    this.#taken.add(number);
    const port = this.#portAt(number, server);
    port.routeName = server.routeName;
    port.servers.push(server);
    if (server.tls === undefined || isPlainHttp(server)) this.#plaintext.set(number, port);
    if (server.routeName !== "") this.#byRouteName.set(server.routeName, [server]);
  }

  /** Plaintext HTTP joins plaintext HTTP; on another address everything goes. */
  #joinPlaintext(number: number, server: GatewayServer, current: PortInMaking): void {
    if (current.bind === server.bind) {
      if (!isPlainHttp(server) || !isPlainHttp(current)) {
        this.#refuse(
          server,
          `port ${number} has a ${current.protocol} server already; only plaintext HTTP can join it`,
        );
        return;
      }
      current.servers.push(server);
    } else {
      const port = this.#portAt(number, server);
      port.routeName = server.routeName;
      port.servers.push(server);
    }
    if (server.routeName === "") return;
    const known = this.#byRouteName.get(server.routeName);
    if (known === undefined) this.#byRouteName.set(server.routeName, [server]);
    else known.push(server);
  }

  /** Servers with TLS are told apart by SNI. */
  #joinTls(number: number, server: GatewayServer): void {
    if (server.routeName !== "" && this.#byRouteName.has(server.routeName)) {
      this.#refuse(
        server,
        `another server has the port name ${server.spec.port?.name ?? ""}; each HTTPS server needs its own`,
      );
      return;
    }
    if (server.routeName !== "") this.#byRouteName.set(server.routeName, [server]);
    const binds = this.#tlsBinds.get(number) ?? new Set<string>();
    const isNewBind = !binds.has(server.bind);
    this.#tlsBinds.set(number, binds.add(server.bind));
    if (server.tls === undefined && !isNewBind) {
      this.#refuse(server, `port ${number} has servers with TLS; one without tls can't join them`);
      return;
    }
    this.#portAt(number, server).servers.push(server);
  }

  #portAt(number: number, { protocol, bind }: GatewayServer): PortInMaking {
    const key = `${number}|${protocol}|${bind}`;
    const known = this.#ports.get(key);
    if (known !== undefined) return known;
    const port: PortInMaking = { number, protocol, bind, routeName: "", servers: [] };
    this.#ports.set(key, port);
    return port;
  }

  /** Envoy takes no two filter chains with one SNI: a server that repeats a host is left out whole. */
  #claimHosts(number: number, server: GatewayServer): boolean {
    const known = this.#tlsHosts.get(number) ?? new Map<string, string>();
    this.#tlsHosts.set(number, known);
    const repeated = server.hosts.filter((host) => known.get(host) === server.bind);
    if (repeated.length > 0) {
      this.#refuse(server, `port ${number} has a server with TLS for ${repeated.join(", ")} already`);
      return false;
    }
    for (const host of server.hosts) known.set(host, server.bind);
    return true;
  }

  #refuse(server: GatewayServer, why: string): void {
    const message = `The server is left out at ${this.#view.proxy.name}: ${why}.`;
    report(this.#view, "warning", "gateway-conflict", server.object, server.path, message);
  }
}

/** Pages about the process: state, version, listeners, memory, certificates, draining and the end. */
import type { SocketAddress } from "#lib/connection.ts";
import { formatAddress } from "#lib/connection.ts";
import { addressJson } from "./clusters-endpoint.ts";
import { has, json, text, type AdminEndpoint } from "./endpoint.ts";

export type ServerState = "PRE_INITIALIZING" | "INITIALIZING" | "LIVE" | "DRAINING";

export interface ServerView {
  state(): ServerState;
  /** `<commit>/<version>/<status>/<build>/<ssl>`. */
  readonly version: string;
  uptimeSeconds(): number;
  /** `envoy.admin.v3.CommandLineOptions` in JSON. */
  readonly options: Readonly<Record<string, unknown>>;
  /** `envoy.config.core.v3.Node` in JSON. */
  readonly node: Readonly<Record<string, unknown>>;
  listeners(): readonly { readonly name: string; readonly addresses: readonly SocketAddress[] }[];
  certificates(): readonly CertificateView[];
  /** What the server still waits for, by the name of the waiting manager. */
  unready(): readonly { readonly name: string; readonly targets: readonly string[] }[];
  failHealthCheck(failed: boolean): void;
  drainListeners(options: {
    readonly graceful: boolean;
    readonly skipExit: boolean;
    readonly inboundOnly: boolean;
  }): void;
  reopenLogs(): void;
  /** `/runtime`; `override` gives false without an admin layer. */
  readonly runtime: {
    view(): unknown;
    override(values: Iterable<readonly [key: string, value: string]>): boolean;
  };
  quit(): void;
}

export interface CertificateView {
  readonly caCertificates: readonly CertificateDetails[];
  readonly chain: readonly CertificateDetails[];
}

export interface CertificateDetails {
  readonly path: string;
  readonly serialNumber: string;
  readonly dnsSans: readonly string[];
  readonly uriSans: readonly string[];
  readonly ipSans: readonly string[];
  readonly daysUntilExpiration: number;
  readonly validFromMs: number;
  readonly validToMs: number;
}

/** The pages over one server. */
export function serverEndpoints(server: ServerView): readonly AdminEndpoint[] {
  return [
    {
      path: "/ready",
      help: "print server state, return 200 if LIVE, otherwise return 503",
      handle() {
        const state = server.state();
        return text(`${state}\n`, state === "LIVE" ? 200 : 503);
      },
    },
    { path: "/server_info", help: "print server version/status information", handle: () => json(serverInfo(server)) },
    {
      path: "/listeners",
      help: "print listener info",
      parameters: [{ name: "format", help: "File format to use; One of (text, json)" }],
      handle: ({ query }) =>
        query.get("format") === "json" ? json(listenersJson(server)) : text(listenersText(server)),
    },
    { path: "/certs", help: "print certs on machine", handle: () => json(certificatesJson(server)) },
    { path: "/memory", help: "print current allocation/heap usage", handle: () => json(memoryJson()) },
    {
      path: "/init_dump",
      help: "dump current Envoy init manager information (experimental)",
      parameters: [
        { name: "mask", help: "The desired component to dump unready targets; only listener and cluster have any" },
      ],
      handle: ({ query }) => json(initDump(server, query.get("mask"))),
    },
    {
      path: "/hot_restart_version",
      help: "print the hot restart compatibility version",
      handle: () => text("disabled"),
    },
    {
      path: "/contention",
      help: "dump current Envoy mutex contention stats (if enabled)",
      handle: () =>
        text("Mutex contention tracing is not enabled. To enable, run Envoy with flag --enable-mutex-tracing."),
    },
    { path: "/runtime", help: "print runtime values", handle: () => json(server.runtime.view()) },
    {
      path: "/runtime_modify",
      help: "Adds or modifies runtime values as passed in query parameters. To delete a previously added key, use an empty string as the value. Note that deletion only applies to overrides added via this endpoint; values loaded from disk can be modified via override but not deleted. E.g. ?key1=value1&key2=value2...",
      mutates: true,
      handle: ({ query }) =>
        query.size === 0
          ? text(
              "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n       or send the parameters as form values\nuse an empty value to remove a previously added override",
              400,
            )
          : server.runtime.override(query)
            ? text("OK\n")
            : text("No admin layer specified", 503),
    },
    {
      path: "/healthcheck/fail",
      help: "cause the server to fail health checks",
      mutates: true,
      handle() {
        server.failHealthCheck(true);
        return text("OK\n");
      },
    },
    {
      path: "/healthcheck/ok",
      help: "cause the server to pass health checks",
      mutates: true,
      handle() {
        server.failHealthCheck(false);
        return text("OK\n");
      },
    },
    {
      path: "/drain_listeners",
      help: "drain listeners",
      mutates: true,
      parameters: [
        {
          name: "graceful",
          help: "When draining listeners, enter a graceful drain period prior to closing listeners.",
        },
        { name: "skip_exit", help: "When draining listeners, drain the connections but never stop the listeners." },
        { name: "inboundonly", help: "Drains all inbound listeners (traffic_direction: INBOUND)." },
      ],
      handle(request) {
        server.drainListeners({
          graceful: has(request, "graceful"),
          skipExit: has(request, "skip_exit"),
          inboundOnly: has(request, "inboundonly"),
        });
        return text("OK\n");
      },
    },
    {
      path: "/reopen_logs",
      help: "reopen access logs",
      mutates: true,
      handle() {
        server.reopenLogs();
        return text("OK\n");
      },
    },
    {
      path: "/quitquitquit",
      help: "exit the server",
      mutates: true,
      handle: () => ({ body: "OK\n", afterwards: () => server.quit() }),
    },
  ];
}

function serverInfo(server: ServerView): unknown {
  const uptime = `${Math.floor(server.uptimeSeconds())}s`;
  return {
    version: server.version,
    state: server.state(),
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    hot_restart_version: "disabled",
    command_line_options: server.options,
    node: server.node,
  };
}

function listenersText(server: ServerView): string {
  let out = "";
  for (const { name, addresses } of server.listeners())
    for (const address of addresses) out += `${name}::${formatAddress(address)}\n`;
  return out;
}

function listenersJson(server: ServerView): unknown {
  return {
    listener_statuses: server.listeners().map(({ name, addresses: [first, ...more] }) => ({
      name,
      ...(first === undefined ? {} : { local_address: addressJson(first) }),
      ...(more.length === 0 ? {} : { additional_local_addresses: more.map(addressJson) }),
    })),
  };
}

function certificatesJson(server: ServerView): unknown {
  return {
    certificates: server.certificates().map(({ caCertificates, chain }) => ({
      ca_cert: caCertificates.map(certificateJson),
      cert_chain: chain.map(certificateJson),
    })),
  };
}

function certificateJson(details: CertificateDetails): unknown {
  return {
    path: details.path,
    serial_number: details.serialNumber,
    subject_alt_names: [
      ...details.dnsSans.map((dns) => ({ dns })),
      ...details.uriSans.map((uri) => ({ uri })),
      ...details.ipSans.map((ip_address) => ({ ip_address })),
    ],
    days_until_expiration: String(details.daysUntilExpiration),
    valid_from: rfc3339(details.validFromMs),
    expiration_time: rfc3339(details.validToMs),
  };
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

function memoryJson(): unknown {
  const { heapUsed, heapTotal, rss } = process.memoryUsage();
  return {
    allocated: String(heapUsed),
    heap_size: String(heapTotal),
    pageheap_unmapped: "0",
    pageheap_free: String(heapTotal - heapUsed),
    total_thread_cache: "0",
    total_physical_bytes: String(rss),
  };
}

function initDump(server: ServerView, mask: string | null): unknown {
  const waiting = server.unready().filter(({ targets }) => targets.length > 0);
  const asked = mask === null ? waiting : waiting.filter(({ name }) => name.toLowerCase().includes(mask.toLowerCase()));
  return asked.length === 0
    ? {}
    : { unready_targets_dumps: asked.map(({ name, targets }) => ({ name, target_names: targets })) };
}

/** The command line: Envoy's flags. What has no meaning in this proxy is taken and said to be without effect. */
import { parseArgs } from "node:util";
import type { LogLevel } from "#lib/runtime.ts";

export interface ProxyOptions {
  readonly configPath: string;
  readonly configYaml: string;
  readonly mode: "serve" | "validate";
  readonly serviceCluster: string | undefined;
  readonly serviceNode: string | undefined;
  readonly serviceZone: string | undefined;
  readonly adminAddressPath: string;
  readonly logLevel: LogLevel;
  /** Component → level. */
  readonly componentLogLevels: ReadonlyMap<string, LogLevel>;
  readonly logPath: string;
  readonly concurrency: number;
  readonly drainTimeSeconds: number;
  readonly drainStrategy: "gradual" | "immediate";
  readonly parentShutdownTimeSeconds: number;
  readonly fileFlushIntervalMs: number;
  readonly baseId: number;
  readonly localAddressIpVersion: "v4" | "v6";
  readonly allowUnknownStaticFields: boolean;
  readonly rejectUnknownDynamicFields: boolean;
  readonly ignoreUnknownDynamicFields: boolean;
}

export type CommandLine =
  | { readonly kind: "run"; readonly options: ProxyOptions; readonly notes: readonly string[] }
  | { readonly kind: "version" }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly message: string };

const LEVELS: readonly LogLevel[] = ["trace", "debug", "info", "warning", "error", "critical", "off"];

export function isLogLevel(text: string): text is LogLevel {
  return (LEVELS as readonly string[]).includes(text);
}

/** Envoy's flags that change nothing here, with the reason that `notes` gives. */
const WITHOUT_EFFECT: Readonly<Record<string, { readonly type: "string" | "boolean"; readonly why: string }>> = {
  "log-format": { type: "string", why: "log lines have one form" },
  "log-format-escaped": { type: "boolean", why: "log lines are always escaped" },
  "restart-epoch": { type: "string", why: "there is no hot restart" },
  "disable-hot-restart": { type: "boolean", why: "" },
  "use-dynamic-base-id": { type: "boolean", why: "there is no hot restart" },
  "base-id-path": { type: "string", why: "there is no hot restart" },
  "socket-path": { type: "string", why: "there is no hot restart" },
  "socket-mode": { type: "string", why: "there is no hot restart" },
  "skip-hot-restart-on-no-parent": { type: "boolean", why: "there is no hot restart" },
  "skip-hot-restart-parent-stats": { type: "boolean", why: "there is no hot restart" },
  "enable-mutex-tracing": { type: "boolean", why: "there are no mutexes" },
  "cpuset-threads": { type: "boolean", why: "there are as many threads as --concurrency says" },
  "enable-fine-grain-logging": { type: "boolean", why: "loggers are by component" },
  "enable-core-dump": { type: "boolean", why: "the process' limits decide" },
  "disable-extensions": { type: "string", why: "extensions are chosen by the configuration" },
  "skip-deprecated-logs": { type: "boolean", why: "" },
  "file-flush-min-size-kb": { type: "string", why: "access logs are flushed at 64 KiB" },
};

/** Reads the arguments after the program's name. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  let values: Readonly<Record<string, string | boolean | undefined>>;
  try {
    ({ values } = parseArgs({ args: [...args], options: flagTypes(), strict: true, allowPositionals: false }));
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error));
  }
  if (values["help"] === true) return { kind: "help" };
  if (values["version"] === true) return { kind: "version" };
  const text = (name: string): string => (typeof values[name] === "string" ? values[name] : "");
  const optional = (name: string): string | undefined => (typeof values[name] === "string" ? values[name] : undefined);
  const problems: string[] = [];
  const number = (name: string, fallback: number): number => {
    const given = text(name);
    if (given === "") return fallback;
    if (!/^\d+$/.test(given)) problems.push(`--${name} ${given}: a whole number is needed`);
    return Number(given);
  };
  const oneOf = <T extends string>(name: string, allowed: readonly T[], fallback: T): T => {
    const given = text(name);
    const found = allowed.find((value) => value === given);
    if (given !== "" && found === undefined)
      problems.push(`--${name} ${given}: one of ${allowed.join(", ")} is needed`);
    return found ?? fallback;
  };
  const level = (given: string): LogLevel => {
    const found = LEVELS.find((candidate) => candidate === (given === "warn" ? "warning" : given));
    if (found === undefined) problems.push(`log level ${given}: one of ${LEVELS.join(", ")} is needed`);
    return found ?? "info";
  };
  const options: ProxyOptions = {
    configPath: text("config-path"),
    configYaml: text("config-yaml"),
    mode: oneOf("mode", ["serve", "validate"], "serve"),
    serviceCluster: optional("service-cluster"),
    serviceNode: optional("service-node"),
    serviceZone: optional("service-zone"),
    adminAddressPath: text("admin-address-path"),
    logLevel: level(text("log-level") || "info"),
    componentLogLevels: componentLevels(text("component-log-level"), level, problems),
    logPath: text("log-path"),
    concurrency: Math.max(1, number("concurrency", 1)),
    drainTimeSeconds: number("drain-time-s", 600),
    drainStrategy: oneOf("drain-strategy", ["gradual", "immediate"], "gradual"),
    parentShutdownTimeSeconds: number("parent-shutdown-time-s", 900),
    fileFlushIntervalMs: number("file-flush-interval-msec", 1000),
    baseId: number("base-id", 0),
    localAddressIpVersion: oneOf("local-address-ip-version", ["v4", "v6"], "v4"),
    allowUnknownStaticFields: values["allow-unknown-static-fields"] === true || values["allow-unknown-fields"] === true,
    rejectUnknownDynamicFields: values["reject-unknown-dynamic-fields"] === true,
    ignoreUnknownDynamicFields: values["ignore-unknown-dynamic-fields"] === true,
  };
  if (options.configPath === "" && options.configYaml === "")
    problems.push(
      "At least one of --config-path or --config-yaml must be non-empty: name a bootstrap, as in -c bootstrap.yaml",
    );
  const [first] = problems;
  return first === undefined ? { kind: "run", options, notes: notesOf(values) } : wrong(problems.join("\n"));
}

function wrong(message: string): CommandLine {
  return { kind: "wrong", message };
}

type FlagType = { readonly type: "string" | "boolean"; readonly short?: string };

function flagTypes(): Record<string, FlagType> {
  const flags: Record<string, FlagType> = {
    "config-path": { type: "string", short: "c" },
    "log-level": { type: "string", short: "l" },
    help: { type: "boolean", short: "h" },
  };
  for (const name of [
    "config-yaml",
    "mode",
    "service-cluster",
    "service-node",
    "service-zone",
    "admin-address-path",
    "component-log-level",
    "log-path",
    "concurrency",
    "drain-time-s",
    "drain-strategy",
    "parent-shutdown-time-s",
    "file-flush-interval-msec",
    "base-id",
    "local-address-ip-version",
  ])
    flags[name] = { type: "string" };
  for (const name of [
    "version",
    "allow-unknown-fields",
    "allow-unknown-static-fields",
    "reject-unknown-dynamic-fields",
    "ignore-unknown-dynamic-fields",
  ])
    flags[name] = { type: "boolean" };
  for (const [name, { type }] of Object.entries(WITHOUT_EFFECT)) flags[name] = { type };
  return flags;
}

function componentLevels(
  text: string,
  level: (given: string) => LogLevel,
  problems: string[],
): ReadonlyMap<string, LogLevel> {
  const levels = new Map<string, LogLevel>();
  for (const pair of text === "" ? [] : text.split(",")) {
    const [component = "", given = "", ...more] = pair.split(":");
    if (component === "" || given === "" || more.length > 0)
      problems.push(`--component-log-level ${pair}: component:level is needed, as in upstream:debug,http:info`);
    else levels.set(component, level(given));
  }
  return levels;
}

/** Flags that say what to do with unknown fields; here they are always refused, by name. */
const UNKNOWN_FIELD_FLAGS: Readonly<Record<string, string>> = {
  "allow-unknown-fields": "an unknown field of the bootstrap is refused all the same",
  "allow-unknown-static-fields": "an unknown field of the bootstrap is refused all the same",
  "ignore-unknown-dynamic-fields": "an unknown field of a resource is refused all the same",
};

function notesOf(values: Readonly<Record<string, string | boolean | undefined>>): string[] {
  const unknown = Object.entries(UNKNOWN_FIELD_FLAGS)
    .filter(([name]) => values[name] === true)
    .map(([name, why]) => `--${name} has no effect: ${why}`);
  const others = Object.keys(values)
    .filter((name) => values[name] !== undefined && (WITHOUT_EFFECT[name]?.why ?? "") !== "")
    .map((name) => `--${name} has no effect: ${WITHOUT_EFFECT[name]?.why ?? ""}`);
  return [...unknown, ...others];
}

/** `envoy.admin.v3.CommandLineOptions` in JSON, for `/server_info`. */
export function optionsJson(options: ProxyOptions): Readonly<Record<string, unknown>> {
  return {
    base_id: String(options.baseId),
    concurrency: options.concurrency,
    config_path: options.configPath,
    config_yaml: options.configYaml,
    allow_unknown_static_fields: options.allowUnknownStaticFields,
    admin_address_path: options.adminAddressPath,
    local_address_ip_version: options.localAddressIpVersion,
    log_level: options.logLevel,
    component_log_level: [...options.componentLogLevels].map((pair) => pair.join(":")).join(","),
    log_format: "",
    log_path: options.logPath,
    service_cluster: options.serviceCluster ?? "",
    service_node: options.serviceNode ?? "",
    service_zone: options.serviceZone ?? "",
    file_flush_interval: `${options.fileFlushIntervalMs / 1000}s`,
    drain_time: `${options.drainTimeSeconds}s`,
    parent_shutdown_time: `${options.parentShutdownTimeSeconds}s`,
    mode: options.mode === "serve" ? "Serve" : "Validate",
    disable_hot_restart: true,
    enable_mutex_tracing: false,
    restart_epoch: 0,
    cpuset_threads: false,
    reject_unknown_dynamic_fields: options.rejectUnknownDynamicFields,
    log_format_escaped: false,
    disabled_extensions: [],
    ignore_unknown_dynamic_fields: options.ignoreUnknownDynamicFields,
    drain_strategy: options.drainStrategy === "gradual" ? "Gradual" : "Immediate",
  };
}

/** `--help`. */
export const USAGE: string = `usage: glassmesh proxy -c <bootstrap.yaml> [flags]

  -c, --config-path <file>           bootstrap in YAML or JSON
      --config-yaml <yaml>           bootstrap text, merged over the file
      --mode serve|validate          validate: check the bootstrap and end
      --service-cluster, --service-node, --service-zone <text>
                                     replace what the bootstrap's node says
      --admin-address-path <file>    where to write the address of the admin interface
  -l, --log-level <level>            trace, debug, info, warning, error, critical, off
      --component-log-level <list>   as in upstream:debug,http:info
      --log-path <file>              log there, not on stderr
      --concurrency <threads>        how many threads serve (1)
      --drain-time-s <seconds>       how long a drain lasts (600)
      --drain-strategy gradual|immediate
      --parent-shutdown-time-s <seconds>
      --file-flush-interval-msec <ms>  how often access logs are written (1000)
      --allow-unknown-static-fields, --reject-unknown-dynamic-fields
      --version, -h, --help
`;

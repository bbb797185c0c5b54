/** `envoy.filters.http.stateful_session`: the host that served a client before is asked first, as a cookie or header says. */
import type { Message } from "@bufbuild/protobuf";
import type { Clock } from "#lib/runtime.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type {
  StatefulSession,
  StatefulSessionPerRoute,
} from "#protos/gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.js";
import type { CookieBasedSessionState } from "#protos/gen/envoy/extensions/http/stateful_session/cookie/v3/cookie_pb.js";
import type { HeaderBasedSessionState } from "#protos/gen/envoy/extensions/http/stateful_session/header/v3/header_pb.js";
import { durationMs } from "../../config-values.ts";
import type { Counter } from "../../observability/stats.ts";
import { cookieValue } from "../../router/hash-policy.ts";
import { ResponseFlag } from "../../stream-info.ts";
import type { FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";
import { decodeSessionCookie, encodeSessionCookie } from "./session-cookie.ts";

/** How a session is kept; undefined where a request has none. */
interface SessionStore {
  /** Whether requests of this path have a session. */
  concerns(headers: HeaderMap): boolean;
  /** `ip:port` of the host that the request asks for. */
  read(headers: HeaderMap, clock: Clock): string | undefined;
  write(headers: HeaderMap, address: string, clock: Clock): void;
}

interface StatefulSessionConfig {
  /** Undefined: the filter does nothing. */
  readonly store: SessionStore | undefined;
  readonly isStrict: boolean;
  readonly statusWhenMissing: number;
  readonly statPrefix: string;
}

export const statefulSession: HttpFilterFactory<StatefulSessionConfig, StatefulSessionConfig | "disabled"> = {
  name: "envoy.filters.http.stateful_session",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession"],
  routeTypeUrls: ["type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute"],
  parse(message, path) {
    const problems: Problem[] = [];
    const value = parseSession(new MessageReader(message as StatefulSession, path, problems));
    return problems.length > 0 ? { problems } : { value, problems };
  },
  parseRoute,
  create(config, { scope, runtime }, name) {
    const { statPrefix } = config;
    const counters = statPrefix === "" ? undefined : scope.scope("stateful_session").scope(statPrefix);
    const stats: SessionStats | undefined = counters && {
      routed: counters.counter("routed"),
      failedOpen: counters.counter("failed_open"),
      failedClosed: counters.counter("failed_closed"),
      noSession: counters.counter("no_session"),
    };
    return (stream) => {
      const route = stream.routeConfig<StatefulSessionConfig | "disabled">(name);
      if (route === "disabled") return undefined;
      return new StatefulSessionFilter(route ?? config, stream, runtime.clock, route === undefined ? stats : undefined);
    };
  },
};

type SessionStats = Readonly<Record<"routed" | "failedOpen" | "failedClosed" | "noSession", Counter>>;

class StatefulSessionFilter implements HttpFilter {
  readonly #config: StatefulSessionConfig;
  readonly #stream: FilterStream;
  readonly #clock: Clock;
  readonly #stats: SessionStats | undefined;
  /** Undefined: the request has no session, and gets none. */
  #store: SessionStore | undefined = undefined;
  #address: string | undefined = undefined;

  constructor(config: StatefulSessionConfig, stream: FilterStream, clock: Clock, stats: SessionStats | undefined) {
    this.#config = config;
    this.#stream = stream;
    this.#clock = clock;
    this.#stats = stats;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    const { store, isStrict, statusWhenMissing } = this.#config;
    if (store?.concerns(headers) !== true) return "continue";
    this.#store = store;
    const address = store.read(headers, this.#clock);
    this.#address = address;
    if (address !== undefined) this.#stream.upstreamOverrideHost = { address, isStrict, statusWhenMissing };
    return "continue";
  }

  encodeHeaders(headers: HeaderMap): FilterStatus {
    const { info } = this.#stream;
    const host = info.upstreamHost?.addressText;
    const { isStrict } = this.#config;
    if (host === undefined) {
      if (this.#store !== undefined && isStrict && info.hasFlag(ResponseFlag.NoHealthyUpstream))
        this.#stats?.failedClosed.inc();
    } else if (this.#store === undefined) this.#stats?.noSession.inc();
    else if (host === this.#address) this.#stats?.routed.inc();
    else {
      this.#store.write(headers, host, this.#clock);
      if (!isStrict) this.#stats?.failedOpen.inc();
    }
    return "continue";
  }
}

function parseSession(reader: MessageReader<StatefulSession>): StatefulSessionConfig {
  const extension = reader.child("sessionState");
  const isStrict = reader.get("strict");
  const status = reader.get("statusOnStrictDestinationNotFound");
  const statPrefix = reader.get("statPrefix");
  reader.finish();
  extension?.ignore("name", "the type says what it is");
  const any = extension?.get("typedConfig");
  extension?.finish();
  let store: SessionStore | undefined;
  if (extension !== undefined && any !== undefined) {
    const opened = unpackAny(any, extension.at("typedConfig"));
    reader.problems.push(...opened.problems);
    if (opened.value !== undefined) store = parseStore(opened.value, extension.at("typedConfig"), reader.problems);
  }
  return { store, isStrict, statusWhenMissing: isStrict && status !== 0 ? status : 503, statPrefix };
}

function parseStore(message: Message, path: string, problems: Problem[]): SessionStore | undefined {
  switch (message.$typeName) {
    case "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState":
      return parseCookieStore(new MessageReader(message as CookieBasedSessionState, path, problems));
    case "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState":
      return parseHeaderStore(new MessageReader(message as HeaderBasedSessionState, path, problems));
    default: {
      const text = `sessions by ${message.$typeName} are not supported by this proxy; use a cookie or a header`;
      problems.push({ code: "unsupported-field", level: "error", path, message: text });
      return undefined;
    }
  }
}

function parseCookieStore(reader: MessageReader<CookieBasedSessionState>): SessionStore | undefined {
  const cookie = reader.child("cookie");
  reader.finish();
  if (cookie === undefined) {
    reader.invalid("cookie", "is required");
    return undefined;
  }
  const name = cookie.get("name");
  const path = cookie.get("path");
  const ttlSeconds = Math.floor((durationMs(cookie.get("ttl")) ?? 0) / 1000);
  cookie.finish();
  if (name === "") cookie.invalid("name", "Cookie key cannot be empty for cookie based stateful sessions");
  const attributes = `${ttlSeconds > 0 ? `; Max-Age=${ttlSeconds}` : ""}${path === "" ? "" : `; Path=${path}`}; HttpOnly`;
  return {
    concerns: ({ path: target }) => isUnder(target, path),
    read(headers, clock) {
      const value = cookieValue(headers, name);
      return value === undefined ? undefined : decodeSessionCookie(value, clock.now());
    },
    write(headers, address, clock) {
      const expires = ttlSeconds > 0 ? Math.floor(clock.now() / 1000) + ttlSeconds : 0;
      headers.add("set-cookie", `${name}="${encodeSessionCookie(address, expires)}"${attributes}`);
    },
  };
}

/** RFC 6265 §5.1.4. */
function isUnder(target: string, path: string): boolean {
  if (path === "" || path === "/") return true;
  const end = target.search(/[?#]/);
  const own = end < 0 ? target : target.slice(0, end);
  return own.startsWith(path) && (own.length === path.length || path.endsWith("/") || own[path.length] === "/");
}

function parseHeaderStore(reader: MessageReader<HeaderBasedSessionState>): SessionStore {
  const name = reader.get("name").toLowerCase();
  reader.finish();
  return {
    concerns: () => true,
    read(headers) {
      const address = Buffer.from(headers.get(name) ?? "", "base64").toString("latin1");
      return /^[\d.:[\]a-f]+$/.test(address) ? address : undefined;
    },
    write: (headers, address) => headers.set(name, Buffer.from(address, "latin1").toString("base64")),
  };
}

function parseRoute(message: Message, path: string): Parsed<StatefulSessionConfig | "disabled"> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as StatefulSessionPerRoute, path, problems);
  const override = reader.get("override");
  reader.finish();
  if (override.case === undefined) reader.invalid("override", "one of disabled and stateful_session is required");
  const value =
    override.case === "statefulSession" ? parseSession(reader.oneof("override", override.value)) : "disabled";
  return problems.length > 0 ? { problems } : { value, problems };
}

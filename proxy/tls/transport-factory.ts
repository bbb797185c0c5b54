/** `transport_socket` → transports: raw bytes or TLS, for clusters and for filter chains. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { TransportSocket } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { InternalUpstreamTransport } from "#protos/gen/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream_pb.js";
import type { ProxyProtocolUpstreamTransport } from "#protos/gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.js";
import type {
  DownstreamTlsContext,
  UpstreamTlsContext,
} from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js";
import type { StatsScope } from "../observability/stats.ts";
import { downstreamTls } from "./downstream-tls.ts";
import type { Dialer } from "./dial.ts";
import { InternalNetwork } from "./internal-network.ts";
import { internalUpstream, parsePassedMetadata } from "./internal-upstream.ts";
import { CertificateCache } from "./peer-certificates.ts";
import { parseUpstreamProxyProtocol, upstreamProxyProtocol } from "./proxy-protocol-upstream.ts";
import { RAW_DOWNSTREAM, rawUpstream } from "./raw-transport.ts";
import { parseDownstreamContext, parseUpstreamContext, verifiesUpstream } from "./tls-context.ts";
import type { DownstreamTransport, SecretProvider, UpstreamTransport } from "./types.ts";
import { upstreamTls } from "./upstream-tls.ts";

export interface TransportFactoryDeps {
  readonly runtime: Runtime;
  /** Listeners of this process; absent: there are none. */
  readonly internal?: InternalNetwork | undefined;
  readonly secrets: SecretProvider;
  /** Where `ssl.*` goes when a call names no scope. */
  readonly scope: StatsScope;
}

export interface TransportFactory {
  /** `undefined` is raw bytes. `scope` is the cluster's (`cluster.<name>.`). */
  upstream(socket: TransportSocket | undefined, path: string, scope?: StatsScope): Parsed<UpstreamTransport>;
  /** `undefined` is raw bytes. `scope` is the listener's (`listener.<address>.`). */
  downstream(socket: TransportSocket | undefined, path: string, scope?: StatsScope): Parsed<DownstreamTransport>;
}

/** What both kinds of TLS need. */
export interface TlsDeps extends Dialer {
  readonly secrets: SecretProvider;
  readonly scope: StatsScope;
  readonly certificates: CertificateCache;
}

const RAW = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
const UPSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const UPSTREAM_PROXY = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
const INTERNAL_UPSTREAM = "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport";
const DOWNSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";

/** Makes the factory of one proxy. */
export function createTransportFactory({
  runtime,
  secrets,
  scope,
  internal = new InternalNetwork(runtime.clock),
}: TransportFactoryDeps): TransportFactory {
  const certificates = new CertificateCache();
  const raw = rawUpstream({ runtime, internal });
  const factory: TransportFactory = {
    upstream(socket, path, ownScope = scope) {
      if (socket === undefined) return { value: raw, problems: [] };
      const deps = { runtime, internal, secrets, certificates, scope: ownScope };
      return open(socket, path, (message, problems, at) => {
        if (message.$typeName === RAW) return raw;
        if (message.$typeName === UPSTREAM_PROXY) {
          const reader = new MessageReader(message as ProxyProtocolUpstreamTransport, at, problems);
          const config = parseUpstreamProxyProtocol(reader.child("config"));
          for (const field of ["allowUnspecifiedAddress", "tlvAsPoolKey"] as const)
            if (reader.get(field)) reader.unsupported(field);
          return wrapped(factory, reader, ownScope, (inner) => upstreamProxyProtocol(config, inner, ownScope));
        }
        if (message.$typeName === INTERNAL_UPSTREAM) {
          const reader = new MessageReader(message as InternalUpstreamTransport, at, problems);
          const passed = parsePassedMetadata(reader);
          return wrapped(factory, reader, ownScope, (inner) => internalUpstream(passed, inner));
        }
        if (message.$typeName !== UPSTREAM_TLS) return undefined;
        const reader = new MessageReader(message as UpstreamTlsContext, at, problems);
        const context = parseUpstreamContext(reader);
        warnUnverified(context, reader);
        return whenGood(problems, reader, () => upstreamTls(deps, context));
      });
    },
    downstream(socket, path, ownScope = scope) {
      if (socket === undefined) return { value: RAW_DOWNSTREAM, problems: [] };
      const deps = { runtime, internal, secrets, certificates, scope: ownScope };
      return open(socket, path, (message, problems, at) => {
        if (message.$typeName === RAW) return RAW_DOWNSTREAM;
        if (message.$typeName !== DOWNSTREAM_TLS) return undefined;
        const reader = new MessageReader(message as DownstreamTlsContext, at, problems);
        const context = parseDownstreamContext(reader);
        refuseNamesWithoutCa(context, reader);
        return whenGood(problems, reader, () => downstreamTls(deps, context));
      });
    },
  };
  return factory;
}

/** A transport around another one, which its message holds. */
function wrapped(
  factory: TransportFactory,
  reader: MessageReader<ProxyProtocolUpstreamTransport> | MessageReader<InternalUpstreamTransport>,
  scope: StatsScope,
  wrap: (inner: UpstreamTransport) => UpstreamTransport,
): UpstreamTransport | "problems" {
  const { problems } = reader;
  const outer = reader as MessageReader<InternalUpstreamTransport>;
  const socket = outer.get("transportSocket");
  outer.finish();
  if (socket === undefined) {
    outer.invalid("transportSocket", "the transport socket that is wrapped must be set");
    return "problems";
  }
  if (problems.length > 0) return "problems";
  const inner = factory.upstream(socket, outer.at("transportSocket"), scope);
  problems.push(...inner.problems);
  return inner.value === undefined ? "problems" : wrap(inner.value);
}

/** Opens the socket's configuration; `make` returns undefined for a type that is not for this side. */
function open<T>(
  socket: TransportSocket,
  path: string,
  make: (message: Message, problems: Problem[], at: string) => T | "problems" | undefined,
): Parsed<T> {
  const problems: Problem[] = [];
  const reader = new MessageReader(socket, path, problems);
  const name = reader.get("name");
  const config = reader.get("configType");
  reader.finish();
  const at = reader.at("configType");
  if (config.case === undefined) {
    const message = `transport socket '${name}' has no typed_config`;
    return { problems: [...problems, { code: "invalid-value", level: "error", path: at, message }] };
  }
  const opened = unpackAny(config.value, at);
  problems.push(...opened.problems);
  if (opened.value === undefined) return { problems };
  const made = make(opened.value, problems, at);
  if (made === undefined) {
    const message = `transport socket '${name}' of type ${opened.value.$typeName} is not supported here; supported are raw_buffer, tls and, upstream, upstream_proxy_protocol and internal_upstream`;
    problems.push({ code: "unsupported-field", level: "error", path: at, message });
  }
  return made === undefined || made === "problems" ? { problems } : { value: made, problems };
}

/** Makes the transport unless something is wrong; certificates that OpenSSL refuses are a problem too. */
function whenGood<T, M extends UpstreamTlsContext | DownstreamTlsContext>(
  problems: Problem[],
  reader: MessageReader<M>,
  make: () => T,
): T | "problems" {
  if (problems.some(({ level }) => level === "error")) return "problems";
  try {
    return make();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    problems.push({
      code: "invalid-value",
      level: "error",
      path: `${reader.path}.common_tls_context`,
      message: message.startsWith("Failed to load") ? message : `Failed to load certificates: ${message}`,
    });
    return "problems";
  }
}

/**
 * An upstream whose certificate nobody verifies is taken, as Envoy takes it (`insecureSkipVerify` of a DestinationRule), and
 * said aloud: a warning when it is configured, `upstream_tls_unverified` in `/clusters` for as long as it is in force.
 */
function warnUnverified(
  context: ReturnType<typeof parseUpstreamContext>,
  reader: MessageReader<UpstreamTlsContext>,
): void {
  const { validation } = context;
  const hasNames = (validation?.rules.sanMatchers.length ?? 0) > 0;
  if (hasNames && validation?.trustedCa === undefined && context.validationSecret === undefined)
    reader.invalid(
      "commonTlsContext",
      "SAN-based verification of peer certificates without trusted CA is insecure and not allowed",
    );
  if (verifiesUpstream(context)) return;
  reader.problems.push({
    code: "unverified-upstream",
    level: "warning",
    path: reader.at("commonTlsContext"),
    message:
      "nothing verifies the upstream's certificate: anybody can stand in for it; give a trusted_ca, an SDS validation context, or pinned hashes",
  });
}

function refuseNamesWithoutCa(
  context: ReturnType<typeof parseDownstreamContext>,
  reader: MessageReader<DownstreamTlsContext>,
): void {
  const { validation, validationSecret } = context;
  if (validation === undefined && validationSecret === undefined && context.requireClientCertificate)
    reader.unsupported(
      "requireClientCertificate",
      "nothing verifies the client's certificate: give a validation context with a trusted_ca, or pinned hashes",
    );
  if (validation === undefined || validationSecret !== undefined || validation.trustedCa !== undefined) return;
  if (validation.rules.sanMatchers.length > 0)
    reader.invalid(
      "commonTlsContext",
      "SAN-based verification of peer certificates without trusted CA is insecure and not allowed",
    );
}

/**
 * What a request may carry in, and what the next hop is told of its client (R-77 … R-86): one pass over the names to see
 * what is there, then only what is needed.
 */
import type { Connection } from "#lib/connection.ts";
import type { Random } from "#lib/runtime.ts";
import type { StreamInfo } from "../stream-info.ts";
import { addressFromXff } from "./address-from-xff.ts";
import { isInRanges } from "./cidr.ts";
import type { ForwardingConfig } from "./connection-manager-config.ts";
import type { HeaderMap } from "./header-map.ts";

/** What a name means here, as bits, so that one number tells of a whole request. */
const Seen = {
  forwardedFor: 0x1,
  forwardedProto: 0x2,
  requestId: 0x4,
  te: 0x8,
  /** Only to be believed from inside. */
  internalOnly: 0x10,
  /** Only to be believed from another proxy of ours. */
  edgeOnly: 0x20,
  internalMark: 0x40,
  via: 0x80,
  forwardedClientCert: 0x100,
  expect: 0x200,
  userAgent: 0x400,
  forceTrace: 0x800,
  connection: 0x1000,
} as const;

const meanings: ReadonlyMap<string, number> = new Map<string, number>([
  ["x-forwarded-for", Seen.forwardedFor],
  ["x-forwarded-proto", Seen.forwardedProto],
  ["x-request-id", Seen.requestId],
  ["te", Seen.te],
  ["via", Seen.via],
  ["x-forwarded-client-cert", Seen.forwardedClientCert],
  ["expect", Seen.expect],
  ["user-agent", Seen.userAgent],
  ["connection", Seen.connection],
  ["upgrade", Seen.connection],
  ["keep-alive", Seen.connection],
  ["proxy-connection", Seen.connection],
  ["transfer-encoding", Seen.connection],
  ["x-envoy-internal", Seen.internalMark],
  ["x-envoy-force-trace", Seen.internalOnly | Seen.forceTrace],
  ["x-envoy-retriable-status-codes", Seen.internalOnly],
  ["x-envoy-retriable-header-names", Seen.internalOnly],
  ["x-envoy-retry-on", Seen.internalOnly],
  ["x-envoy-retry-grpc-on", Seen.internalOnly],
  ["x-envoy-max-retries", Seen.internalOnly],
  ["x-envoy-upstream-alt-stat-name", Seen.internalOnly],
  ["x-envoy-upstream-rq-timeout-ms", Seen.internalOnly],
  ["x-envoy-upstream-rq-per-try-timeout-ms", Seen.internalOnly],
  ["x-envoy-upstream-rq-timeout-alt-response", Seen.internalOnly],
  ["x-envoy-expected-rq-timeout-ms", Seen.internalOnly],
  ["x-envoy-ip-tags", Seen.internalOnly],
  ["x-envoy-original-url", Seen.internalOnly],
  ["x-envoy-hedge-on-per-try-timeout", Seen.internalOnly],
  ["x-envoy-decorator-operation", Seen.edgeOnly],
  ["x-envoy-downstream-service-cluster", Seen.edgeOnly],
  ["x-envoy-downstream-service-node", Seen.edgeOnly],
  ["x-envoy-original-path", Seen.edgeOnly],
  ["x-envoy-original-host", Seen.edgeOnly],
]);

/** What the connection manager wants to know of the headers after they have been put right. */
export interface RequestTraits {
  /** The status to answer with, where the client's address had to be told and was not. */
  refusal: number | undefined;
  hasForwardedClientCert: boolean;
  expectsContinue: boolean;
  isForceTraced: boolean;
  isInternal: boolean;
}

export interface RequestSanitizerContext {
  readonly config: ForwardingConfig;
  readonly schemeOverride: string | undefined;
  readonly random: Random;
  /** Stands for a client on loopback, whose address would mean nothing to the next hop. */
  readonly hostAddress: string;
  /** `--service-cluster` and `--service-node`, for `add_user_agent`. */
  readonly serviceCluster: string;
  readonly serviceNode: string;
}

/** Changes `headers` in place; sets the client's address in `info`. `isUpgrade`: `connection` and `upgrade` stay. */
export function sanitizeRequest(
  headers: HeaderMap,
  info: StreamInfo,
  connection: Connection,
  context: RequestSanitizerContext,
  isUpgrade: boolean,
): RequestTraits {
  const { config } = context;
  const refusal = config.originalIpDetections.length === 0 ? undefined : refusalOf(headers, config);
  if (refusal !== undefined)
    return { refusal, hasForwardedClientCert: false, expectsContinue: false, isForceTraced: false, isInternal: false };
  const seen = seenIn(headers.names);
  if ((seen & Seen.te) !== 0) sanitizeTe(headers);
  if ((seen & Seen.connection) !== 0) removeHopByHop(headers, isUpgrade);
  const isSecure = connection.tls !== undefined;
  const isInternal = config.useRemoteAddress
    ? learnClientAtEdge(headers, info, connection, context, seen)
    : learnClientInside(headers, info, config, seen);
  setForwardedProto(headers, connection, config, isSecure, seen);
  if (context.schemeOverride !== undefined) {
    headers.scheme = context.schemeOverride;
    headers.set("x-forwarded-proto", context.schemeOverride);
  } else if (headers.scheme === "") {
    const proto = (seen & Seen.forwardedProto) === 0 ? "" : (headers.get("x-forwarded-proto") ?? "").toLowerCase();
    headers.scheme = proto === "https" || proto === "http" ? proto : isSecure ? "https" : "http";
  }
  const isEdge = !isInternal && config.useRemoteAddress;
  if ((seen & (Seen.internalMark | Seen.internalOnly | Seen.edgeOnly)) !== 0)
    removeUntrusted(headers, isInternal, isEdge);
  if (isInternal) headers.set("x-envoy-internal", "true");
  if (config.addUserAgent) announceService(headers, context, seen);
  if (config.via !== "")
    headers.set("via", (seen & Seen.via) === 0 ? config.via : `${headers.getJoined("via")}, ${config.via}`);
  if (isEdge) headers.set("x-envoy-external-address", addressOnly(info.downstreamRemoteAddress) || peerOf(connection));
  if (config.generateRequestId && ((seen & Seen.requestId) === 0 || (isEdge && !config.preserveExternalRequestId)))
    headers.set("x-request-id", context.random.uuid());
  return {
    refusal: undefined,
    hasForwardedClientCert: (seen & Seen.forwardedClientCert) !== 0,
    expectsContinue: (seen & Seen.expect) !== 0 && headers.get("expect")?.toLowerCase() === "100-continue",
    isForceTraced: isInternal && (seen & Seen.forceTrace) !== 0,
    isInternal,
  };
}

function seenIn(names: readonly string[]): number {
  let seen = 0;
  for (let i = 0; i < names.length; i++) seen |= meanings.get(names[i] as string) ?? 0;
  return seen;
}

/** `TE` says what this hop's peer takes; only the readiness for trailers holds end to end. */
function sanitizeTe(headers: HeaderMap): void {
  const takesTrailers = headers
    .getAll("te")
    .some((value) => value.split(",").some((part) => part.trim().toLowerCase() === "trailers"));
  if (takesTrailers) headers.set("te", "trailers");
  else headers.remove("te");
}

function removeHopByHop(headers: HeaderMap, isUpgrade: boolean): void {
  headers.remove("keep-alive");
  headers.remove("proxy-connection");
  headers.remove("transfer-encoding");
  if (isUpgrade) return;
  headers.remove("connection");
  headers.remove("upgrade");
}

/** First proxy of ours: the peer is the client, or a trusted proxy has named it. True: the request is internal. */
function learnClientAtEdge(
  headers: HeaderMap,
  info: StreamInfo,
  connection: Connection,
  { config, hostAddress }: RequestSanitizerContext,
  seen: number,
): boolean {
  const remote = connection.remoteAddress;
  const peer = remote.kind === "ip" ? remote.address : "";
  const forwardedFor = (seen & Seen.forwardedFor) === 0 ? undefined : headers.getJoined("x-forwarded-for");
  const named =
    config.xffNumTrustedHops > 0 && forwardedFor !== undefined
      ? addressFromXff(forwardedFor, config.xffNumTrustedHops - 1)
      : undefined;
  if (named !== undefined) info.downstreamRemoteAddress = withPortZero(named);
  if (!config.skipXffAppend && remote.kind === "ip") {
    const shown = isLoopback(peer) ? hostAddress : peer;
    headers.set(
      "x-forwarded-for",
      forwardedFor === undefined || forwardedFor === "" ? shown : `${forwardedFor},${shown}`,
    );
  }
  if (forwardedFor !== undefined) return false;
  return remote.kind === "pipe" ? config.internalUnixSockets : isInRanges(named ?? peer, config.internalCidrs);
}

/** Behind another proxy of ours: it has named the client. True: the request is internal. */
function learnClientInside(headers: HeaderMap, info: StreamInfo, config: ForwardingConfig, seen: number): boolean {
  if (config.originalIpDetections.length > 0) return learnClientByExtension(headers, info, config);
  if ((seen & Seen.forwardedFor) === 0) return false;
  const forwardedFor = headers.getJoined("x-forwarded-for") ?? "";
  const address = addressFromXff(forwardedFor, config.xffNumTrustedHops);
  if (address === undefined) return false;
  info.downstreamRemoteAddress = withPortZero(address);
  return !forwardedFor.includes(",") && isInRanges(address, config.internalCidrs);
}

/** The first extension that knows, decides; `sanitizeRequest` has seen to it that none refuses. */
function learnClientByExtension(headers: HeaderMap, info: StreamInfo, config: ForwardingConfig): boolean {
  for (const detect of config.originalIpDetections) {
    const found = detect(headers);
    if (found === undefined || typeof found === "number") continue;
    info.downstreamRemoteAddress = withPortZero(found.address);
    return found.mayBeInternal && isInRanges(found.address, config.internalCidrs);
  }
  return false;
}

/** The status that an extension refuses the request with, before another knows who the client is. */
function refusalOf(headers: HeaderMap, config: ForwardingConfig): number | undefined {
  for (const detect of config.originalIpDetections) {
    const found = detect(headers);
    if (found !== undefined) return typeof found === "number" ? found : undefined;
  }
  return undefined;
}

function withPortZero(address: string): string {
  return address.includes(":") ? `[${address}]:0` : `${address}:0`;
}

function addressOnly(text: string): string {
  if (text.startsWith("[")) return text.slice(1, text.indexOf("]"));
  const colon = text.lastIndexOf(":");
  return colon < 0 ? text : text.slice(0, colon);
}

function peerOf({ remoteAddress }: Connection): string {
  return remoteAddress.kind === "ip" ? remoteAddress.address : "";
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

function setForwardedProto(
  headers: HeaderMap,
  connection: Connection,
  config: ForwardingConfig,
  isSecure: boolean,
  seen: number,
): void {
  const isPresent = (seen & Seen.forwardedProto) !== 0;
  const proto = isSecure ? "https" : "http";
  if (!isPresent) headers.add("x-forwarded-proto", proto);
  else if (config.useRemoteAddress && config.xffNumTrustedHops === 0) headers.set("x-forwarded-proto", proto);
  if (!config.appendXForwardedPort || connection.localAddress.kind !== "ip") return;
  if (config.useRemoteAddress || !headers.has("x-forwarded-port"))
    headers.set("x-forwarded-port", String(connection.localAddress.port));
}

function removeUntrusted(headers: HeaderMap, isInternal: boolean, isEdge: boolean): void {
  let unwanted: number = Seen.internalMark;
  if (!isInternal) unwanted |= Seen.internalOnly;
  if (isEdge) unwanted |= Seen.edgeOnly;
  for (let i = headers.names.length - 1; i >= 0; i--) {
    if (((meanings.get(headers.names[i] as string) ?? 0) & unwanted) === 0) continue;
    headers.names.splice(i, 1);
    headers.values.splice(i, 1);
  }
}

function announceService(headers: HeaderMap, context: RequestSanitizerContext, seen: number): void {
  headers.set("x-envoy-downstream-service-cluster", context.serviceCluster);
  if ((seen & Seen.userAgent) === 0) headers.add("user-agent", context.serviceCluster);
  if (context.serviceNode !== "") headers.set("x-envoy-downstream-service-node", context.serviceNode);
}

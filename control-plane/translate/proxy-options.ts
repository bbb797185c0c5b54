/** What a proxy asks for itself, in its node's metadata and its ProxyConfig (§4.6). */
import { durationJson } from "./duration.ts";
import { compact, type JsonObject } from "./json.ts";
import { memoized } from "./memo.ts";
import type { CustomTag } from "./spec/telemetry.ts";
import type { View } from "./view.ts";

export interface ProxyOptions {
  readonly acceptsHttp10: boolean;
  /** Of HTTP and TCP connections. */
  readonly idleTimeout: string | undefined;
  readonly balancesInbound: boolean;
  readonly balancesOutbound: boolean;
  readonly headers: ProxyHeaders;
}

/** ProxyConfig.proxyHeaders: which headers a proxy adds. */
export interface ProxyHeaders {
  readonly hasServer: boolean;
  readonly serverName: string | undefined;
  readonly hasRequestId: boolean;
  readonly hasAttemptCount: boolean;
  readonly hasDebugHeaders: boolean;
  readonly forwardedClientCert: string;
  /** Of HTTP/1. */
  readonly keepsHeaderCase: boolean;
  readonly hasForwardedHost: boolean;
  readonly hasForwardedPort: boolean;
  /** What a proxy says of itself to others stays in the mesh. */
  readonly exchangesInMeshOnly: boolean;
  /** HttpConnectionManager.SetCurrentClientCertDetails of inbound connections. */
  readonly clientCertDetails: JsonObject;
}

interface WrittenHeaders {
  readonly server?: Switch & { readonly value?: string };
  readonly requestId?: Switch;
  readonly attemptCount?: Switch;
  readonly envoyDebugHeaders?: Switch;
  readonly forwardedClientCert?: string;
  readonly preserveHttp1HeaderCase?: boolean;
  readonly xForwardedHost?: { readonly enabled?: boolean };
  readonly xForwardedPort?: { readonly enabled?: boolean };
  readonly metadataExchangeHeaders?: { readonly mode?: string };
  readonly setCurrentClientCertDetails?: ClientCertDetails;
}

interface ClientCertDetails {
  readonly subject?: boolean;
  readonly cert?: boolean;
  readonly chain?: boolean;
  readonly dns?: boolean;
  readonly uri?: boolean;
}

interface Switch {
  readonly disabled?: boolean;
}

interface WrittenConfig {
  readonly proxyHeaders?: WrittenHeaders;
  readonly tracing?: WrittenTracing;
  readonly gatewayTopology?: WrittenTopology;
}

/** ProxyConfig.tracing; where spans go is the bootstrap's. */
export interface WrittenTracing {
  readonly sampling?: number;
  readonly maxPathTagLength?: number;
  readonly customTags?: Readonly<Record<string, CustomTag>>;
  readonly enableIstioTags?: boolean;
}

interface WrittenTopology {
  readonly numTrustedProxies?: number;
  readonly forwardClientCertDetails?: string;
  readonly proxyProtocol?: object;
}

/** ProxyConfig.gatewayTopology */
export interface GatewayTopology {
  readonly numTrustedProxies: number;
  /** Envoy's ForwardClientCertDetails. */
  readonly forwardClientCertDetails: string;
  /** A PROXY protocol header stands before everything else. */
  readonly hasProxyProtocol: boolean;
}

export function gatewayTopology(view: View): GatewayTopology {
  const written = proxyConfig(view).gatewayTopology ?? {};
  const details = written.forwardClientCertDetails ?? "";
  return {
    numTrustedProxies: written.numTrustedProxies ?? 0,
    forwardClientCertDetails: details === "" || details === "UNDEFINED" ? "SANITIZE_SET" : details,
    hasProxyProtocol: written.proxyProtocol !== undefined && written.proxyProtocol !== null,
  };
}

export const proxyOptions: (view: View) => ProxyOptions = memoized((view: View): ProxyOptions => {
  const { metadata } = view.proxy;
  const idle = metadata["IDLE_TIMEOUT"];
  return {
    // Nothing else turns it on.
    acceptsHttp10: metadata["HTTP10"] === "1",
    idleTimeout: typeof idle === "string" ? durationJson(idle) : undefined,
    balancesInbound: isOn(metadata["INBOUND_LISTENER_EXACT_BALANCE"]),
    balancesOutbound: isOn(metadata["OUTBOUND_LISTENER_EXACT_BALANCE"]),
    headers: headersFrom(proxyConfig(view).proxyHeaders ?? {}),
  };
});

/** As the proxy was started with; else the mesh's default. */
export function proxyConfig(view: View): WrittenConfig {
  const said = view.proxy.metadata["PROXY_CONFIG"] ?? view.mesh.meshConfig.raw["defaultConfig"];
  return typeof said === "object" && said !== null ? said : {};
}

/** Connections are spread evenly over the workers of the proxy. */
export function balance(isExact: boolean): JsonObject | undefined {
  return isExact ? { exactBalance: {} } : undefined;
}

function headersFrom(written: WrittenHeaders): ProxyHeaders {
  const isKept = (item: Switch | undefined): boolean => item?.disabled !== true;
  const certificate = written.forwardedClientCert ?? "";
  return {
    hasServer: isKept(written.server),
    serverName: written.server?.value,
    hasRequestId: isKept(written.requestId),
    hasAttemptCount: isKept(written.attemptCount),
    hasDebugHeaders: isKept(written.envoyDebugHeaders),
    forwardedClientCert: certificate === "" || certificate === "UNDEFINED" ? "APPEND_FORWARD" : certificate,
    keepsHeaderCase: written.preserveHttp1HeaderCase === true,
    hasForwardedHost: written.xForwardedHost?.enabled === true,
    hasForwardedPort: written.xForwardedPort?.enabled === true,
    exchangesInMeshOnly: written.metadataExchangeHeaders?.mode === "IN_MESH",
    clientCertDetails: clientCertDetails(written.setCurrentClientCertDetails),
  };
}

/** Subject, DNS names and URI unless they are switched off; certificate and chain where they are asked for. */
function clientCertDetails({ subject, cert, chain, dns, uri }: ClientCertDetails = {}): JsonObject {
  const isTold = (value: boolean | undefined): true | undefined => (value === true ? true : undefined);
  return compact({
    subject: subject !== false,
    cert: isTold(cert),
    chain: isTold(chain),
    dns: isTold(dns !== false),
    uri: isTold(uri !== false),
  });
}

function isOn(value: unknown): boolean {
  return value === true || value === "true" || value === "1";
}

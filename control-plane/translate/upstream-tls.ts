/** TLS of a cluster: what a DestinationRule says, or automatic mutual TLS per endpoint (rules 56–61). */
import type { MeshObject } from "../model/object.ts";
import type { ServiceModel } from "../model/service.ts";
import type { ServiceInstance } from "../model/mesh-index.ts";
import { any, compact, type JsonObject, nonEmpty } from "./json.ts";
import { isEmptySelector } from "./labels.ts";
import { meshSni } from "./names.ts";
import { namespaceMtls } from "./peer-authentication.ts";
import type { DestinationRule } from "./destination-rule.ts";
import { CA_SUFFIX, credentialSecret, fileSecret, TRUST_BUNDLE, WORKLOAD_CERTIFICATE } from "./secrets.ts";
import type { ClientTls } from "./spec/destination-rule.ts";
import { hasExtension, report, type View } from "./view.ts";

export interface UpstreamTlsInput {
  readonly service: ServiceModel;
  readonly port: number;
  readonly subset: string;
  readonly rule: DestinationRule | undefined;
  readonly tls: ClientTls | undefined;
  readonly serviceAccounts: readonly string[];
  readonly isHttp2: boolean;
  /** Endpoints are those that the client dialled: TLS is for all or for none of them. */
  readonly isOriginalDst: boolean;
  readonly instances: readonly ServiceInstance[];
}

export interface UpstreamTls {
  /** `transport_socket` or `transport_socket_matches`. */
  readonly fields: JsonObject;
  /** `alpn_override: "false"`: the ALPN filter must leave this cluster alone. */
  readonly keepsAlpn: boolean;
  /** auto_sni, auto_san_validation. */
  readonly httpOptions: JsonObject | undefined;
}

const NONE: UpstreamTls = { fields: {}, keepsAlpn: false, httpOptions: undefined };
const RAW_BUFFER: JsonObject = {
  name: "envoy.transport_sockets.raw_buffer",
  typedConfig: any("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"),
};
const TLS_PARAMS: JsonObject = { tlsMinimumProtocolVersion: "TLSv1_2", tlsMaximumProtocolVersion: "TLSv1_3" };

/** The sockets with a PROXY protocol header in front of them, where the rule asks for one. */
export function withProxyProtocol(
  view: View,
  fields: JsonObject,
  version: "V1" | "V2" | undefined,
  rule: MeshObject | undefined,
): JsonObject {
  if (version === undefined || rule === undefined) return fields;
  const name = "envoy.transport_sockets.upstream_proxy_protocol";
  if (!hasExtension(view, name)) {
    const path = "spec.trafficPolicy.proxyProtocol";
    report(view, "warning", "no-effect", rule, path, `${view.proxy.name} has no ${name}: no PROXY header is sent.`);
    return fields;
  }
  const wrap = (socket: unknown): JsonObject => ({
    name,
    typedConfig: any("envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", {
      config: { version },
      transportSocket: socket ?? RAW_BUFFER,
    }),
  });
  const matches = fields["transportSocketMatches"] as readonly JsonObject[] | undefined;
  if (matches === undefined) return { transportSocket: wrap(fields["transportSocket"]) };
  return {
    transportSocketMatches: matches.map((match) => ({ ...match, transportSocket: wrap(match["transportSocket"]) })),
  };
}

export function upstreamTls(view: View, input: UpstreamTlsInput): UpstreamTls {
  const { tls } = input;
  if (tls === undefined) return automaticTls(view, input);
  if (tls.mode === "ISTIO_MUTUAL") return { ...NONE, fields: { transportSocket: meshSocket(input, tls) } };
  if (tls.mode === "SIMPLE" || tls.mode === "MUTUAL") return ownTls(view, input, tls);
  return NONE;
}

function automaticTls(view: View, input: UpstreamTlsInput): UpstreamTls {
  const { service, instances } = input;
  if (!view.mesh.meshConfig.enableAutoMtls || service.isExternal) return NONE;
  if (namespaceMtls(view.mesh, service.namespace) === "DISABLE") return NONE;
  const isPassthrough = input.isOriginalDst || (service.isHeadless && view.proxy.placement === undefined);
  const allHave = instances.length > 0 && instances.every(({ workload }) => workload.hasSidecar);
  if (isPassthrough && !allHave) return NONE;
  const socket = meshSocket(input, {});
  if (input.isOriginalDst) return { ...NONE, fields: { transportSocket: socket } };
  return {
    ...NONE,
    fields: {
      transportSocketMatches: [
        { name: "tlsMode-istio", match: { tlsMode: "istio" }, transportSocket: socket },
        { name: "tlsMode-disabled", match: {}, transportSocket: RAW_BUFFER },
      ],
    },
  };
}

/** Mutual TLS with the workload's own certificate; the peer must have one of the service's accounts. */
function meshSocket(input: UpstreamTlsInput, tls: ClientTls): JsonObject {
  const written = tls.subjectAltNames ?? [];
  const names = written.length > 0 ? written : input.serviceAccounts;
  return tlsSocket({
    commonTlsContext: {
      tlsParams: TLS_PARAMS,
      tlsCertificateSdsSecretConfigs: [WORKLOAD_CERTIFICATE],
      combinedValidationContext: {
        defaultValidationContext: exactNames(names),
        validationContextSdsSecretConfig: TRUST_BUNDLE,
      },
      alpnProtocols: input.isHttp2 ? ["istio-peer-exchange", "istio", "h2"] : ["istio-peer-exchange", "istio"],
    },
    sni: tls.sni === undefined || tls.sni === "" ? meshSni(input.port, input.subset, input.service.host) : tls.sni,
  });
}

/** SIMPLE and MUTUAL, with files or the system's roots. */
function ownTls(view: View, input: UpstreamTlsInput, tls: ClientTls): UpstreamTls {
  const credential = tls.credentialName ?? "";
  const isSecret = !SERVED_TO_ALL.some((kind) => credential.startsWith(kind));
  if (credential !== "" && isSecret && view.proxy.type === "sidecar" && isEmptySelector(input.rule?.selector)) {
    reportDroppedCredential(view, input.rule?.object);
    return { ...NONE, keepsAlpn: true };
  }
  const written = tls.subjectAltNames ?? [];
  // The names of a ServiceEntry stand in where the rule has none.
  const names = written.length === 0 && input.service.origin === "service-entry" ? input.serviceAccounts : written;
  const sni = tls.sni ?? "";
  const verifies = tls.insecureSkipVerify !== true;
  const certificate = clientCertificate(tls);
  const context = compact({
    commonTlsContext: compact({
      tlsParams: { ...TLS_PARAMS, ...meshTlsDefaults(view) },
      tlsCertificateSdsSecretConfigs: certificate === undefined ? undefined : [certificate],
      ...validation(tls, names, verifies),
      alpnProtocols: input.isHttp2 ? ["h2"] : undefined,
    }),
    sni: sni === "" ? undefined : sni,
  });
  const autoSni = sni === "";
  // Names of a ServiceEntry are verified beside the one that the request asks for.
  const autoNames = autoSni && written.length === 0 && verifies;
  return {
    fields: { transportSocket: tlsSocket(context) },
    keepsAlpn: true,
    httpOptions: autoSni ? compact({ autoSni: true, autoSanValidation: autoNames ? true : undefined }) : undefined,
  };
}

/** A CA in a ConfigMap is no secret; a name that nobody serves must fail, not fall back to plaintext (rule 128). */
const SERVED_TO_ALL = ["configmap://", "invalid://"];

function validation(tls: ClientTls, names: readonly string[], verifies: boolean): JsonObject {
  const credential = tls.credentialName ?? "";
  if (!verifies) return credential === "" ? { validationContext: {} } : {};
  const crl = tls.caCrl ?? "";
  const roots = tls.caCertificates ?? "";
  return {
    combinedValidationContext: {
      defaultValidationContext: { ...exactNames(names), ...(crl !== "" && { crl: { filename: crl } }) },
      validationContextSdsSecretConfig:
        credential === ""
          ? fileSecret(`file-root:${roots === "" ? "system" : roots}`)
          : credentialSecret(`${credential}${CA_SUFFIX}`),
    },
  };
}

/** MeshConfig.tlsDefaults, as far as clients have it. */
function meshTlsDefaults({ mesh }: View): JsonObject {
  const { cipherSuites = [], ecdhCurves = [] } = (mesh.meshConfig.raw["tlsDefaults"] ?? {}) as {
    readonly cipherSuites?: readonly string[];
    readonly ecdhCurves?: readonly string[];
  };
  return compact({ cipherSuites: nonEmpty(cipherSuites), ecdhCurves: nonEmpty(ecdhCurves) });
}

function clientCertificate(tls: ClientTls): JsonObject | undefined {
  if (tls.mode !== "MUTUAL") return undefined;
  const credential = tls.credentialName ?? "";
  if (credential !== "") return credentialSecret(credential);
  return fileSecret(`file-cert:${tls.clientCertificate ?? ""}~${tls.privateKey ?? ""}`);
}

function exactNames(names: readonly string[]): JsonObject {
  return names.length === 0 ? {} : { matchSubjectAltNames: names.map((name) => ({ exact: name })) };
}

function tlsSocket(context: JsonObject): JsonObject {
  return {
    name: "envoy.transport_sockets.tls",
    typedConfig: any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", context),
  };
}

function reportDroppedCredential(view: View, rule: MeshObject | undefined): void {
  if (rule === undefined) return;
  report(
    view,
    "warning",
    "no-effect",
    rule,
    "spec.trafficPolicy.tls.credentialName",
    "A sidecar reads no Secrets for a rule without workloadSelector: the whole tls block has no effect and traffic is plaintext, as with istiod. Add a workloadSelector, or name files.",
  );
}

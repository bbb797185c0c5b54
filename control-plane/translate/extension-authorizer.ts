/** `extensionProviders` of MeshConfig that authorize: `envoyExtAuthzHttp` and `envoyExtAuthzGrpc` → ext_authz. */
import { compact, type JsonObject } from "./json.ts";
import { extensionProvider, providerCluster } from "./telemetry.ts";
import type { View } from "./view.ts";

/** Fields of the filters, but for when they ask. */
export interface ExtensionAuthorizer {
  readonly http: JsonObject;
  /** Undefined: a provider over HTTP. */
  readonly tcp: JsonObject | undefined;
}

interface BodySettings {
  readonly maxRequestBytes?: number;
  readonly allowPartialMessage?: boolean;
  readonly packAsBytes?: boolean;
}

interface GrpcProvider {
  readonly service?: string;
  readonly port?: number;
  readonly timeout?: string;
  readonly failOpen?: boolean;
  readonly clearRouteCache?: boolean;
  readonly statusOnError?: string;
  readonly includeRequestBodyInCheck?: BodySettings;
}

interface HttpProvider extends GrpcProvider {
  readonly pathPrefix?: string;
  /** The old name of the next. */
  readonly includeHeadersInCheck?: readonly string[];
  readonly includeRequestHeadersInCheck?: readonly string[];
  readonly includeAdditionalHeadersInCheck?: Readonly<Record<string, string>>;
  readonly headersToUpstreamOnAllow?: readonly string[];
  readonly headersToDownstreamOnDeny?: readonly string[];
  readonly headersToDownstreamOnAllow?: readonly string[];
}

type Resolved =
  | { readonly value: ExtensionAuthorizer; readonly fault: undefined }
  | { readonly value: undefined; readonly fault: string };

/** As good as none: the DestinationRule of the provider's service is where a shorter one belongs. */
const DEFAULT_TIMEOUT = "600s";

/** What asks the provider, or why it can't be asked. */
export function extensionAuthorizer(view: View, name: string): Resolved {
  const found = extensionProvider(view.mesh, name) as
    | { readonly envoyExtAuthzHttp?: HttpProvider; readonly envoyExtAuthzGrpc?: GrpcProvider }
    | undefined;
  if (found === undefined) return bad(`there is no extension provider ${JSON.stringify(name)}`);
  const { envoyExtAuthzHttp: http, envoyExtAuthzGrpc: grpc } = found;
  const written: HttpProvider | undefined = http ?? grpc;
  if (written === undefined) return bad(`the extension provider ${name} authorizes nothing`);
  const fault = faultOf(written);
  if (fault !== undefined) return bad(`the extension provider ${name}: ${fault}`);
  const target = providerCluster(view, { service: written.service ?? "", port: written.port ?? 0 });
  if (target === undefined) return bad(`the extension provider ${name}: there is no service ${written.service ?? ""}`);
  const common = compact({
    transportApiVersion: "V3",
    failureModeAllow: written.failOpen === true ? true : undefined,
    clearRouteCache: written.clearRouteCache === true ? true : undefined,
    statusOnError: statusOnError(written.statusOnError),
    withRequestBody: bodySettings(written.includeRequestBodyInCheck),
  });
  const value =
    http === undefined
      ? grpcAuthorizer(common, written, target)
      : { http: { ...common, ...httpService(http, target) }, tcp: undefined };
  return { value, fault: undefined };
}

function bad(fault: string): Resolved {
  return { value: undefined, fault };
}

const HEADER_LISTS = [
  "includeRequestHeadersInCheck",
  "includeHeadersInCheck",
  "headersToDownstreamOnDeny",
  "headersToDownstreamOnAllow",
  "headersToUpstreamOnAllow",
] as const;

/** `envoy.type.v3.StatusCode`. */
const STATUSES: ReadonlyMap<number, string> = new Map([
  [100, "Continue"],
  [200, "OK"],
  [201, "Created"],
  [202, "Accepted"],
  [203, "NonAuthoritativeInformation"],
  [204, "NoContent"],
  [205, "ResetContent"],
  [206, "PartialContent"],
  [207, "MultiStatus"],
  [208, "AlreadyReported"],
  [226, "IMUsed"],
  [300, "MultipleChoices"],
  [301, "MovedPermanently"],
  [302, "Found"],
  [303, "SeeOther"],
  [304, "NotModified"],
  [305, "UseProxy"],
  [307, "TemporaryRedirect"],
  [308, "PermanentRedirect"],
  [400, "BadRequest"],
  [401, "Unauthorized"],
  [402, "PaymentRequired"],
  [403, "Forbidden"],
  [404, "NotFound"],
  [405, "MethodNotAllowed"],
  [406, "NotAcceptable"],
  [407, "ProxyAuthenticationRequired"],
  [408, "RequestTimeout"],
  [409, "Conflict"],
  [410, "Gone"],
  [411, "LengthRequired"],
  [412, "PreconditionFailed"],
  [413, "PayloadTooLarge"],
  [414, "URITooLong"],
  [415, "UnsupportedMediaType"],
  [416, "RangeNotSatisfiable"],
  [417, "ExpectationFailed"],
  [421, "MisdirectedRequest"],
  [422, "UnprocessableEntity"],
  [423, "Locked"],
  [424, "FailedDependency"],
  [426, "UpgradeRequired"],
  [428, "PreconditionRequired"],
  [429, "TooManyRequests"],
  [431, "RequestHeaderFieldsTooLarge"],
  [500, "InternalServerError"],
  [501, "NotImplemented"],
  [502, "BadGateway"],
  [503, "ServiceUnavailable"],
  [504, "GatewayTimeout"],
  [505, "HTTPVersionNotSupported"],
  [506, "VariantAlsoNegotiates"],
  [507, "InsufficientStorage"],
  [508, "LoopDetected"],
  [510, "NotExtended"],
  [511, "NetworkAuthenticationRequired"],
]);

function faultOf(provider: HttpProvider): string | undefined {
  const { service = "", port = 0, statusOnError: status = "", pathPrefix = "" } = provider;
  if (service === "") return "service must not be empty";
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return `port must be from 1 to 65535, found ${port}`;
  if (status !== "" && !STATUSES.has(Number(status))) return `statusOnError ${status} is no status that Envoy knows`;
  if (pathPrefix !== "" && !pathPrefix.startsWith("/")) return `pathPrefix must begin with /, found ${pathPrefix}`;
  const wild = HEADER_LISTS.find((list) => provider[list]?.includes("*"));
  return wild === undefined ? undefined : `a single * in ${wild} is not supported; write a prefix or a suffix`;
}

function statusOnError(status = ""): JsonObject | undefined {
  return status === "" ? undefined : { code: STATUSES.get(Number(status)) };
}

function bodySettings(body: BodySettings | undefined): JsonObject | undefined {
  if (body === undefined) return undefined;
  return compact({
    maxRequestBytes: body.maxRequestBytes,
    allowPartialMessage: body.allowPartialMessage === true ? true : undefined,
    packAsBytes: body.packAsBytes === true ? true : undefined,
  });
}

interface Target {
  readonly host: string;
  readonly cluster: string;
}

function grpcAuthorizer(common: JsonObject, { timeout }: GrpcProvider, { host, cluster }: Target): ExtensionAuthorizer {
  const grpcService = {
    envoyGrpc: { clusterName: cluster, authority: host },
    timeout: timeout ?? DEFAULT_TIMEOUT,
  };
  const { failureModeAllow, transportApiVersion } = common;
  return {
    http: { ...common, grpcService },
    tcp: compact({ statPrefix: "tcp.", failureModeAllow, transportApiVersion, grpcService }),
  };
}

function httpService(provider: HttpProvider, { host, cluster }: Target): JsonObject {
  const headersToAdd = Object.entries(provider.includeAdditionalHeadersInCheck ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => ({ key, value }));
  const response = compact({
    allowedUpstreamHeaders: patterns(provider.headersToUpstreamOnAllow),
    allowedClientHeaders: patterns(provider.headersToDownstreamOnDeny),
    allowedClientHeadersOnSuccess: patterns(provider.headersToDownstreamOnAllow),
  });
  const included = provider.includeRequestHeadersInCheck ?? [];
  return compact({
    allowedHeaders: patterns(included.length > 0 ? included : provider.includeHeadersInCheck),
    httpService: compact({
      pathPrefix: provider.pathPrefix === "" ? undefined : provider.pathPrefix,
      serverUri: { uri: `http://${host}`, cluster, timeout: provider.timeout ?? DEFAULT_TIMEOUT },
      authorizationRequest: headersToAdd.length === 0 ? undefined : { headersToAdd },
      authorizationResponse: Object.keys(response).length === 0 ? undefined : response,
    }),
  });
}

/** `x*` is a prefix, `*x` a suffix; names of headers in any case. */
function patterns(names: readonly string[] | undefined): JsonObject | undefined {
  if (names === undefined || names.length === 0) return undefined;
  return {
    patterns: names.map((name) => {
      if (name.endsWith("*")) return { prefix: name.slice(0, -1), ignoreCase: true };
      if (name.startsWith("*")) return { suffix: name.slice(1), ignoreCase: true };
      return { exact: name, ignoreCase: true };
    }),
  };
}

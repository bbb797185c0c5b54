/** `envoy.filters.http.jwt_authn`: requests must show the tokens that their path asks for, and those shown must hold. */
import * as Status from "../../../jwt/status.ts";
import type { JwtStatus } from "../../../jwt/status.ts";
import type { Counter, StatsScope } from "../../../observability/stats.ts";
import { leaveMetadata } from "../../../rbac/judge.ts";
import { withoutQuery } from "../../../router/path-matcher.ts";
import { matchesRoute } from "../../../router/route-match.ts";
import { ResponseFlag } from "../../../stream-info.ts";
import { isSafeFieldValue } from "../../field-value.ts";
import type { FilterFactoryContext, FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../../filter.ts";
import type { HeaderMap } from "../../header-map.ts";
import type { AuthenticationContext, KnownProvider } from "./authenticator.ts";
import { type JwtAuthnConfig, type JwtRouteConfig, parseJwtAuthn, parseJwtRoute, wrongName } from "./config.ts";
import { createKeySource } from "./key-source.ts";
import { createVerifier, type Verifier } from "./requirement.ts";
import { TokenCache } from "./token-cache.ts";

const TYPE = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.";

export const jwtAuthn: HttpFilterFactory<JwtAuthnConfig, JwtRouteConfig> = {
  name: "envoy.filters.http.jwt_authn",
  typeUrls: [`${TYPE}JwtAuthentication`],
  routeTypeUrls: [`${TYPE}PerRouteConfig`],
  parse: parseJwtAuthn,
  parseRoute: parseJwtRoute,
  create(config, context, name) {
    const authentication = new Authentication(config, context, name);
    return (stream) => new JwtAuthnFilter(stream, authentication);
  },
};

const NAMESPACE = "envoy.filters.http.jwt_authn";
const MAX_URI_LENGTH = 256;

/** What all requests of one configuration share. */
class Authentication {
  readonly config: JwtAuthnConfig;
  readonly name: string;
  readonly stats: JwtAuthnStats;
  readonly providers: ReadonlyMap<string, KnownProvider>;
  readonly #runtime: FilterFactoryContext["runtime"];
  readonly #byIssuer = new Map<string, KnownProvider>();
  readonly #rules: readonly {
    readonly match: JwtAuthnConfig["rules"][number]["match"];
    readonly verifier: Verifier | undefined;
  }[];
  readonly #byName: ReadonlyMap<string, Verifier>;
  readonly #byState: ReadonlyMap<string, Verifier>;

  constructor(config: JwtAuthnConfig, context: FilterFactoryContext, name: string) {
    this.config = config;
    this.name = name;
    this.#runtime = context.runtime;
    this.stats = jwtAuthnStats(context.scope, config.statPrefix);
    const { stats } = this;
    this.providers = new Map(
      [...config.providers].map(([key, provider]) => [
        key,
        {
          provider,
          keys: createKeySource(provider.keys, context, stats),
          cache: provider.cache && new TokenCache(provider.cache),
        },
      ]),
    );
    for (const known of this.providers.values())
      if (!this.#byIssuer.has(known.provider.issuer)) this.#byIssuer.set(known.provider.issuer, known);
    const verifiers = (from: JwtAuthnConfig["byName"]): ReadonlyMap<string, Verifier> =>
      new Map([...from].map(([key, requirement]) => [key, createVerifier(requirement, this.providers)]));
    this.#byName = verifiers(config.byName);
    this.#byState = verifiers(config.filterState?.byValue ?? new Map());
    this.#rules = config.rules.map(({ match, requirement }) => ({
      match,
      verifier: requirement && createVerifier(requirement, this.providers),
    }));
  }

  nowSeconds(): number {
    return Math.floor(this.#runtime.clock.now() / 1000);
  }

  byIssuer(issuer: string): KnownProvider | undefined {
    return this.#byIssuer.get(issuer) ?? this.#byIssuer.get("");
  }

  /** Undefined: nothing is asked. Text: what the request is refused with. */
  verifierFor(stream: FilterStream, headers: HeaderMap): Verifier | undefined | string {
    const route = stream.routeConfig<JwtRouteConfig>(this.name);
    if (route !== undefined) {
      const { requirementName } = route;
      if (requirementName === undefined) return undefined;
      return this.#byName.get(requirementName) ?? wrongName(requirementName, this.config.byName);
    }
    const path = withoutQuery(headers.path);
    const { streamRandom, info } = stream;
    for (const { match, verifier } of this.#rules)
      if (matchesRoute(match, path, headers, { streamRandom, info })) return verifier;
    const { filterState } = this.config;
    const value = filterState === undefined ? undefined : info.filterState?.get(filterState.key);
    return typeof value === "string" ? this.#byState.get(value) : undefined;
  }
}

interface JwtAuthnStats {
  readonly allowed: Counter;
  readonly denied: Counter;
  readonly corsPreflightBypassed: Counter;
  readonly fetchFailed: Counter;
  readonly fetchSuccess: Counter;
  readonly cacheHit: Counter;
  readonly cacheMiss: Counter;
}

function jwtAuthnStats(parent: StatsScope, prefix: string): JwtAuthnStats {
  const own = parent.scope("jwt_authn");
  const scope = prefix === "" ? own : own.scope(prefix.replace(/\.$/, ""));
  return {
    allowed: scope.counter("allowed"),
    denied: scope.counter("denied"),
    corsPreflightBypassed: scope.counter("cors_preflight_bypassed"),
    fetchFailed: scope.counter("jwks_fetch_failed"),
    fetchSuccess: scope.counter("jwks_fetch_success"),
    cacheHit: scope.counter("jwt_cache_hit"),
    cacheMiss: scope.counter("jwt_cache_miss"),
  };
}

class JwtAuthnFilter implements HttpFilter {
  readonly #stream: FilterStream;
  readonly #shared: Authentication;
  #isStopped = false;
  #isSettled = false;
  #cancels: (() => void)[] | undefined = undefined;

  constructor(stream: FilterStream, shared: Authentication) {
    this.#stream = stream;
    this.#shared = shared;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    const { config, stats } = this.#shared;
    if (config.bypassesCorsPreflight && isCorsPreflight(headers)) {
      stats.corsPreflightBypassed.inc();
      stats.allowed.inc();
      return "continue";
    }
    const verifier = this.#shared.verifierFor(this.#stream, headers);
    if (typeof verifier === "string") {
      this.#refuse(403, verifier, config.stripsFailureResponse ? "" : `Failed JWT authentication: ${verifier}`);
      return "stop";
    }
    if (verifier === undefined) {
      stats.allowed.inc();
      return "continue";
    }
    return this.#verify(verifier, headers);
  }

  onDestroy(): void {
    this.#isSettled = true;
    for (const cancel of this.#cancels ?? []) cancel();
  }

  #verify(verifier: Verifier, headers: HeaderMap): FilterStatus {
    // As it was asked for: tokens in the query may be taken out meanwhile.
    const uri = originalUri(headers);
    const metadata: Record<string, unknown> = {};
    const context: AuthenticationContext = {
      headers,
      nowSeconds: () => this.#shared.nowSeconds(),
      byIssuer: (issuer) => this.#shared.byIssuer(issuer),
      stats: this.#shared.stats,
      setMetadata: (key, value) => void (metadata[key] = value),
      clearRouteCache: () => this.#stream.clearRouteCache(),
      onCancel: (cancel) => void (this.#cancels ??= []).push(cancel),
    };
    let status: FilterStatus = "stop";
    verifier(context, (result) => {
      if (this.#isSettled) return;
      this.#isSettled = true;
      if (Object.keys(metadata).length > 0) leaveMetadata(this.#stream.info, NAMESPACE, metadata);
      if (result !== Status.OK) return this.#deny(result, uri);
      this.#shared.stats.allowed.inc();
      if (!this.#areFieldsSafe(headers)) return;
      if (this.#isStopped) this.#stream.continueDecoding();
      else status = "continue";
    });
    this.#isStopped = true;
    return status;
  }

  #deny(status: JwtStatus, uri: string): void {
    const isMissing = status === Status.MISSING;
    const challenge = `Bearer realm="${uri}"${isMissing ? "" : ', error="invalid_token"'}`;
    this.#refuse(
      status === Status.AUDIENCE_NOT_ALLOWED ? 403 : 401,
      status.message,
      this.#shared.config.stripsFailureResponse ? "" : status.message,
      this.#shared.config.stripsFailureResponse ? undefined : [["www-authenticate", challenge]],
    );
  }

  #refuse(status: number, why: string, body: string, headers?: readonly (readonly [string, string])[]): void {
    this.#isSettled = true;
    this.#shared.stats.denied.inc();
    const details = `jwt_authn_access_denied{${why.replace(/\s/g, "_")}}`;
    this.#stream.sendLocalReply({ status, body, details, headers });
  }

  /** A claim with line breaks in it would become other headers: Envoy's router refuses such a request. */
  #areFieldsSafe(headers: HeaderMap): boolean {
    for (const { provider } of this.#shared.providers.values()) {
      for (const { header } of provider.claimToHeaders) {
        if (headers.getAll(header).every(isSafeFieldValue)) continue;
        const body = `invalid header value for: ${header}`;
        const details = `filter_removed_required_request_headers{${body.replaceAll(" ", "_")}}`;
        this.#stream.sendLocalReply({ status: 503, body, details, flag: ResponseFlag.DownstreamProtocolError });
        return false;
      }
    }
    return true;
  }
}

function isCorsPreflight(headers: HeaderMap): boolean {
  if (headers.method !== "OPTIONS") return false;
  return (headers.get("origin") ?? "") !== "" && (headers.get("access-control-request-method") ?? "") !== "";
}

function originalUri(headers: HeaderMap): string {
  const path = headers.get("x-envoy-original-path") ?? headers.path;
  return `${headers.scheme}://${headers.authority}${path.slice(0, MAX_URI_LENGTH)}`;
}

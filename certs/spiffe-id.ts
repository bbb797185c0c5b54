/** SPIFFE IDs (the SPIFFE-ID standard) and the form that Istio gives them: `spiffe://<trust domain>/ns/<ns>/sa/<sa>`. */
import { MeshError } from "#lib/problem.ts";

export interface SpiffeId {
  /** The whole, as it stands in a certificate. */
  readonly uri: string;
  readonly trustDomain: string;
  /** `/ns/default/sa/web`; empty for the trust domain itself, which only signers may carry. */
  readonly path: string;
}

const PREFIX = "spiffe://";
const MAX_BYTES = 2048;
const MAX_TRUST_DOMAIN_BYTES = 255;

/** Says what is wrong with a trust domain name; undefined when it is good. */
export function trustDomainProblem(name: string): string | undefined {
  if (name === "") return "the trust domain is empty";
  if (name.length > MAX_TRUST_DOMAIN_BYTES) return `the trust domain is longer than ${MAX_TRUST_DOMAIN_BYTES} bytes`;
  const wrong = /[^a-z0-9._-]/.exec(name);
  if (wrong === null) return undefined;
  if (/[A-Z]/.test(wrong[0])) return `the trust domain "${name}" has upper-case letters`;
  if (wrong[0] === "@") return `the trust domain "${name}" has user information`;
  if (wrong[0] === ":") return `the trust domain "${name}" has a port`;
  return `the trust domain "${name}" contains ${JSON.stringify(wrong[0])}; allowed are a-z, 0-9, ".", "-" and "_"`;
}

/** Says what is wrong with a SPIFFE ID; undefined when it is good. */
export function spiffeIdProblem(text: string): string | undefined {
  if (!text.startsWith(PREFIX)) return `it does not begin with "${PREFIX}"`;
  if (text.length > MAX_BYTES) return `it is longer than ${MAX_BYTES} bytes`;
  const slash = text.indexOf("/", PREFIX.length);
  const trustDomain = slash < 0 ? text.slice(PREFIX.length) : text.slice(PREFIX.length, slash);
  const path = slash < 0 ? "" : text.slice(slash);
  return trustDomainProblem(trustDomain) ?? (path === "" ? undefined : pathProblem(path));
}

function pathProblem(path: string): string | undefined {
  if (path.endsWith("/")) return "the path ends with a slash";
  for (const segment of path.slice(1).split("/")) {
    if (segment === "") return "the path has an empty segment";
    if (segment === "." || segment === "..") return `the path has the segment "${segment}"`;
    const wrong = /[^A-Za-z0-9._-]/.exec(segment);
    if (wrong === null) continue;
    if (wrong[0] === "%") return "the path is percent-encoded";
    if (wrong[0] === "?") return "it has a query";
    if (wrong[0] === "#") return "it has a fragment";
    return `the path contains ${JSON.stringify(wrong[0])}; allowed are letters, digits, ".", "-" and "_"`;
  }
  return undefined;
}

/** Reads a SPIFFE ID. Throws `spiffe-id-invalid`. */
export function parseSpiffeId(text: string): SpiffeId {
  const problem = spiffeIdProblem(text);
  if (problem !== undefined)
    throw new MeshError("spiffe-id-invalid", `${JSON.stringify(text)} is no SPIFFE ID: ${problem}.`);
  const slash = text.indexOf("/", PREFIX.length);
  if (slash < 0) return { uri: text, trustDomain: text.slice(PREFIX.length), path: "" };
  return { uri: text, trustDomain: text.slice(PREFIX.length, slash), path: text.slice(slash) };
}

/** What Istio's SPIFFE IDs say. */
export interface IstioIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. Throws `spiffe-id-invalid` when a part does not fit. */
export function istioSpiffeId({ trustDomain, namespace, serviceAccount }: IstioIdentity): SpiffeId {
  for (const part of [namespace, serviceAccount]) {
    if (part.includes("/"))
      throw new MeshError("spiffe-id-invalid", `${JSON.stringify(part)} contains a slash; it is no Kubernetes name.`);
  }
  return parseSpiffeId(`${PREFIX}${trustDomain}/ns/${namespace}/sa/${serviceAccount}`);
}

/** The parts of an Istio SPIFFE ID; undefined when its path has another form. */
export function parseIstioSpiffeId(id: SpiffeId): IstioIdentity | undefined {
  const match = /^\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(id.path);
  const [, namespace, serviceAccount] = match ?? [];
  if (namespace === undefined || serviceAccount === undefined) return undefined;
  return { trustDomain: id.trustDomain, namespace, serviceAccount };
}

/** Authenticates by asking a Kubernetes API server about the token: `authentication.k8s.io/v1` TokenReview. */
import { readFileSync } from "node:fs";
import { Agent, request } from "undici";
import { istioSpiffeId } from "#certs/spiffe-id.ts";
import { MeshError } from "#lib/problem.ts";
import type { AuthenticationResult, Authenticator } from "./authenticator.ts";

export interface TokenReviewOptions {
  /** Of the API server, as `https://10.96.0.1`. */
  readonly url: string;
  /** PEM; read at the start. */
  readonly caFile: string;
  /** The control plane's own service account token, which may create TokenReviews; read anew for each call. */
  readonly tokenFile: string;
  readonly audiences: readonly string[];
  readonly trustDomain: string;
}

export interface TokenReviewAuthenticator extends Authenticator {
  close(): Promise<void>;
}

const TIMEOUT_MS = 5000;
const MAX_BYTES = 256 * 1024;
const SERVICE_ACCOUNTS = "system:serviceaccounts";

/** Throws `usage` when the server can't be asked so. Whatever goes wrong later refuses the call: nobody gets in unasked. */
export function tokenReviewAuthenticator(options: TokenReviewOptions): TokenReviewAuthenticator {
  const { url, caFile, tokenFile, audiences, trustDomain } = options;
  if (!URL.canParse(url) || new URL(url).protocol !== "https:") {
    throw new MeshError("usage", `--token-review takes the https:// URL of an API server, not ${JSON.stringify(url)}.`);
  }
  const agent = new Agent({ connect: { ca: readFile(caFile, "the API server's CA") } });
  const endpoint = new URL("/apis/authentication.k8s.io/v1/tokenreviews", url);

  async function review(token: string): Promise<AuthenticationResult> {
    const { statusCode, body } = await request(endpoint, {
      dispatcher: agent,
      method: "POST",
      headers: {
        authorization: `Bearer ${readFile(tokenFile, "the control plane's own token").trim()}`,
        "content-type": "application/json",
        accept: "application/json",
      },
      body: JSON.stringify({
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: { token, audiences },
      }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_BYTES) throw new Error(`its answer is longer than ${MAX_BYTES} bytes`);
      chunks.push(chunk);
    }
    const text = Buffer.concat(chunks).toString("utf8");
    if (statusCode !== 200 && statusCode !== 201) {
      const hint =
        statusCode === 401 || statusCode === 403 ? "; the control plane's own token may not review tokens" : "";
      throw new Error(`it answered ${statusCode}${hint}`);
    }
    return identityOf(JSON.parse(text), audiences, trustDomain);
  }

  return {
    name: "token review",
    async authenticate({ bearerToken }) {
      if (bearerToken === undefined) return { kind: "absent" };
      try {
        return await review(bearerToken);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        return refused(`the API server at ${endpoint.host} could not be asked: ${reason}`);
      }
    },
    close: () => agent.close(),
  };
}

/** The status of a TokenReview → who it is. Pure; anything unexpected is a refusal. */
function identityOf(review: unknown, audiences: readonly string[], trustDomain: string): AuthenticationResult {
  const status = field(review, "status");
  const error = field(status, "error");
  if (field(status, "authenticated") !== true) {
    return refused(typeof error === "string" && error !== "" ? error : "the API server does not know it");
  }
  // A server that passes audiences over would take a token that is meant for somebody else.
  const given = field(status, "audiences");
  if (!Array.isArray(given) || !given.some((audience) => audiences.includes(audience as string))) {
    return refused(
      `wrong audience: the API server says ${JSON.stringify(given)}, this CA wants ${audiences.join(" or ")}`,
    );
  }
  const user = field(status, "user");
  const username = field(user, "username");
  const groups = field(user, "groups");
  const [, namespace, serviceAccount] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(String(username)) ?? [];
  if (
    namespace === undefined ||
    serviceAccount === undefined ||
    !Array.isArray(groups) ||
    !groups.includes(SERVICE_ACCOUNTS)
  ) {
    return refused(`${JSON.stringify(username)} is no service account`);
  }
  try {
    const identity = istioSpiffeId({ trustDomain, namespace, serviceAccount });
    return { kind: "authenticated", identity, by: "token review" };
  } catch (invalid) {
    if (invalid instanceof MeshError) return refused(invalid.message);
    throw invalid;
  }
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

function refused(reason: string): AuthenticationResult {
  return { kind: "refused", reason };
}

function readFile(file: string, what: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new MeshError("token-review-file", `${file} can't be read (${code}); it should hold ${what}.`);
  }
}

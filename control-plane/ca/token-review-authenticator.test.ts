/** Against a server that speaks as a Kubernetes API server does, over real TLS. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createCertificateAuthority } from "#certs/certificate-authority.ts";
import { openSelfSignedRoot } from "#certs/ca-files.ts";
import { createKeyPair, privateKeyToPem } from "#certs/keys.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { tokenReviewAuthenticator, type TokenReviewAuthenticator } from "./token-review-authenticator.ts";

const { clock } = nodeRuntime({ logLevel: "off" });
const GOOD = {
  authenticated: true,
  audiences: ["istio-ca"],
  user: {
    username: "system:serviceaccount:default:web",
    groups: ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
  },
};

let directory: string;
let server: Server;
let answer: { status: number; body: string };
let asked: { path: string | undefined; authorization: string | undefined; body: unknown }[];
let authenticator: TokenReviewAuthenticator;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "glassmesh-review-"));
  const { material } = await openSelfSignedRoot(join(directory, "ca"), "cluster.local", clock.now());
  const authority = createCertificateAuthority({ material, clock });
  const { publicKey, privateKey } = await createKeyPair("ECDSA_P256");
  const publicKeyDer = publicKey.export({ type: "spki", format: "der" });
  const { chain } = authority.signServer({ publicKey, publicKeyDer }, { dnsNames: [], ipAddresses: ["127.0.0.1"] });
  asked = [];
  answer = { status: 201, body: JSON.stringify({ kind: "TokenReview", status: GOOD }) };
  server = createServer({ cert: chain.join(""), key: privateKeyToPem(privateKey) }, (request, response) => {
    let text = "";
    request.on("data", (chunk) => (text += String(chunk)));
    request.on("end", () => {
      asked.push({ path: request.url, authorization: request.headers.authorization, body: JSON.parse(text) });
      response.writeHead(answer.status, { "content-type": "application/json" }).end(answer.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  writeFileSync(join(directory, "ca.crt"), authority.rootsPem);
  writeFileSync(join(directory, "token"), "own-token\n");
  authenticator = open();
});

afterEach(async () => {
  await authenticator.close();
  server.closeAllConnections();
  server.close();
  rmSync(directory, { recursive: true });
});

function open(caFile = "ca.crt"): TokenReviewAuthenticator {
  return tokenReviewAuthenticator({
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    caFile: join(directory, caFile),
    tokenFile: join(directory, "token"),
    audiences: ["istio-ca"],
    trustDomain: "example.org",
  });
}

const reason = async (): Promise<string> => {
  const result = await authenticator.authenticate({ bearerToken: "a.b.c" });
  return result.kind === "refused" ? result.reason : result.kind;
};

describe("TokenReview", () => {
  test("the API server is asked about token and audience, and says who it is", async () => {
    expect(await authenticator.authenticate({ bearerToken: "a.b.c" })).toMatchObject({
      kind: "authenticated",
      by: "token review",
      identity: { uri: "spiffe://example.org/ns/default/sa/web" },
    });
    expect(asked).toEqual([
      {
        path: "/apis/authentication.k8s.io/v1/tokenreviews",
        authorization: "Bearer own-token",
        body: {
          apiVersion: "authentication.k8s.io/v1",
          kind: "TokenReview",
          spec: { token: "a.b.c", audiences: ["istio-ca"] },
        },
      },
    ]);
    writeFileSync(join(directory, "token"), "renewed");
    await authenticator.authenticate({ bearerToken: "a.b.c" });
    expect(asked[1]?.authorization).toBe("Bearer renewed");
  });

  test("without a token there is nothing to ask", async () => {
    expect(await authenticator.authenticate({})).toEqual({ kind: "absent" });
    expect(asked).toEqual([]);
  });

  test.each<[string, unknown, RegExp]>([
    ["not authenticated", { authenticated: false, error: "token has expired" }, /^token has expired$/],
    ["no word", {}, /does not know it/],
    ["authenticated as a text", { ...GOOD, authenticated: "true" }, /does not know it/],
    ["another audience", { ...GOOD, audiences: ["https://kubernetes.default.svc"] }, /wrong audience/],
    ["no audience", { ...GOOD, audiences: undefined }, /wrong audience/],
    [
      "a person",
      { ...GOOD, user: { username: "mary", groups: ["system:authenticated"] } },
      /"mary" is no service account/,
    ],
    [
      "a person by that name",
      { ...GOOD, user: { ...GOOD.user, groups: ["system:authenticated"] } },
      /is no service account/,
    ],
    [
      "four parts",
      { ...GOOD, user: { ...GOOD.user, username: "system:serviceaccount:a:b:c" } },
      /is no service account/,
    ],
    ["a name that is none", { ...GOOD, user: { ...GOOD.user, username: "system:serviceaccount:a/../b:c" } }, /./],
    ["no user", { ...GOOD, user: undefined }, /is no service account/],
  ])("%s is refused", async (_, status, message) => {
    answer.body = JSON.stringify({ status });
    expect(await authenticator.authenticate({ bearerToken: "a.b.c" })).toMatchObject({ kind: "refused" });
    expect(await reason()).toMatch(message);
  });

  test.each<[string, number, string, RegExp]>([
    ["a server that forbids it", 403, "{}", /answered 403; the control plane's own token may not review tokens/],
    ["a server that fails", 500, "", /answered 500/],
    ["no JSON", 201, "<html>", /could not be asked/],
    ["an answer without end", 201, " ".repeat(300_000), /longer than/],
  ])("%s lets nobody in", async (_, status, body, message) => {
    answer = { status, body };
    expect(await reason()).toMatch(message);
  });

  test("a server of another CA, and one that is away, let nobody in; no token goes there", async () => {
    const other = await openSelfSignedRoot(join(directory, "other"), "cluster.local", clock.now());
    writeFileSync(
      join(directory, "other.crt"),
      createCertificateAuthority({ material: other.material, clock }).rootsPem,
    );
    await authenticator.close();
    authenticator = open("other.crt");
    expect(await reason()).toMatch(/could not be asked/);
    expect(asked).toEqual([]);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(await reason()).toMatch(/could not be asked/);
  });

  test("plaintext, and a CA file that is not there, are misuse", () => {
    const options = { caFile: join(directory, "ca.crt"), tokenFile: "t", audiences: [], trustDomain: "x" };
    expect(() => tokenReviewAuthenticator({ ...options, url: "http://10.96.0.1" })).toThrow(/takes the https:\/\/ URL/);
    expect(() => tokenReviewAuthenticator({ ...options, url: "https://a", caFile: "/none" })).toThrow(
      /\/none can't be read/,
    );
  });
});

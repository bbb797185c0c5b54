import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { Message } from "@bufbuild/protobuf";
import { TypeUrl, type ResourceWatcher, type XdsClient } from "../xds/types.ts";
import { composeSecrets, parseSecret, sdsSecrets, staticSecrets, watchFiles } from "./secret-providers.ts";
import type { Secret, SecretSource } from "./types.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});
function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "glassmesh-secrets-"));
  folders.push(made);
  return made;
}

function secret(json: Record<string, unknown>): Message {
  const { value } = messageFromJson("envoy.extensions.transport_sockets.tls.v3.Secret", { name: "s", ...json });
  return value as Message;
}

describe("Secret → secret", () => {
  test("a certificate, inline or from files", () => {
    const path = join(folder(), "cert.pem");
    writeFileSync(path, "CHAIN");
    expect(
      parseSecret(
        secret({ tlsCertificate: { certificateChain: { filename: path }, privateKey: { inlineString: "KEY" } } }),
      ),
    ).toEqual({ value: { kind: "certificate", certificateChain: "CHAIN", privateKey: "KEY" }, problems: [] });
  });

  test("a validation context with everything that it asks for", () => {
    const { value } = parseSecret(
      secret({ validationContext: { trustedCa: { inlineString: "CA" }, matchSubjectAltNames: [{ exact: "a" }] } }),
    );
    expect(value).toMatchObject({ kind: "validation", trustedCa: "CA", rules: { sanMatchers: [{ exact: "a" }] } });
  });

  test("a file that is not there, and another kind of secret, are refused by name", () => {
    const missing = secret({
      tlsCertificate: { certificateChain: { filename: "/nope" }, privateKey: { inlineString: "K" } },
    });
    expect(parseSecret(missing, "secrets[0]").problems).toMatchObject([
      { path: "secrets[0].tls_certificate", message: /unable to read file: \/nope/ },
    ]);
    expect(parseSecret(secret({ genericSecret: { secret: { inlineString: "x" } } })).problems).toMatchObject([
      { code: "unsupported-field", path: "generic_secret" },
    ]);
  });
});

describe("secret providers", () => {
  test("a secret is asked of the origin that its configuration names", () => {
    const runtime = simulatedRuntime();
    const asked: string[] = [];
    const provider = (name: string) => ({
      subscribe: (wanted: string) => {
        asked.push(`${name}:${wanted}`);
        return { close() {} };
      },
    });
    const secrets = composeSecrets(runtime, {
      fixed: provider("static"),
      ads: provider("ads"),
      grpc: (cluster) => (cluster === "sds-grpc" ? provider(cluster) : undefined),
    });
    const sources: SecretSource[] = [
      { kind: "static" },
      { kind: "ads" },
      { kind: "grpc", cluster: "sds-grpc" },
      { kind: "grpc", cluster: "elsewhere" },
      { kind: "path", path: "/x" },
    ];
    for (const [index, source] of sources.entries()) secrets.subscribe(`s${index}`, () => {}, source);
    expect(asked).toEqual(["static:s0", "ads:s1", "sds-grpc:s2"]);
    expect(runtime.logLines.filter((line) => line.includes("no provider"))).toHaveLength(2);
  });

  test("static secrets are there at once, unknown ones never", () => {
    const known: Secret = { kind: "validation", trustedCa: "CA" };
    const heard: Secret[] = [];
    const secrets = staticSecrets(new Map([["a", known]]));
    secrets.subscribe("a", (value) => heard.push(value));
    secrets.subscribe("b", (value) => heard.push(value));
    expect(heard).toEqual([known]);
  });

  test("SDS: a good secret is passed on, a bad one becomes the NACK and changes nothing", () => {
    let watcher: ResourceWatcher | undefined;
    const closed: string[] = [];
    const client = {
      resource: (typeUrl: string, name: string, given: ResourceWatcher) => {
        expect([typeUrl, name]).toEqual([TypeUrl.secret, "default"]);
        watcher = given;
        return { close: () => closed.push(name) };
      },
    } as unknown as XdsClient;
    const heard: Secret[] = [];
    const subscription = sdsSecrets(client).subscribe("default", (value) => heard.push(value));
    const good = secret({ validationContext: { trustedCa: { inlineString: "CA" } } });
    expect(watcher?.onResource({ name: "default", version: "1", message: good })).toEqual([]);
    const bad = secret({ genericSecret: {} });
    expect(watcher?.onResource({ name: "default", version: "2", message: bad })).toHaveLength(1);
    watcher?.onAbsent("removed");
    expect(heard).toMatchObject([{ trustedCa: "CA" }]);
    subscription.close();
    expect(closed).toEqual(["default"]);
  });

  test("files are watched by what is in them", async () => {
    const runtime = simulatedRuntime();
    const path = join(folder(), "ca.pem");
    writeFileSync(path, "one");
    let changes = 0;
    const watch = watchFiles(runtime, [path], () => changes++);
    await runtime.advance(5000);
    writeFileSync(path, "one");
    await runtime.advance(2000);
    expect(changes).toBe(0);
    writeFileSync(path, "two");
    await runtime.advance(2000);
    expect(changes).toBe(1);
    rmSync(path);
    await runtime.advance(2000);
    writeFileSync(path, "two");
    await runtime.advance(2000);
    expect(changes).toBe(1);
    watch.close();
    writeFileSync(path, "three");
    await runtime.advance(5000);
    expect(changes).toBe(1);
  });
});

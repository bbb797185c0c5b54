import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import type { Secret } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js";
import { schema } from "#protos/registry.ts";
import { encodeSecret, SecretSubscription } from "./sds-subscription.ts";

const certificate = (chain: string) =>
  encodeSecret("default", { kind: "certificate", certificateChain: chain, privateKey: "KEY" });
const roots = encodeSecret("ROOTCA", { kind: "validation", trustedCa: "ROOT" });
const serves = (name: string): boolean => name === "default" || name === "ROOTCA";
const sentNames = (subscription: SecretSubscription) => subscription.next(serves)?.secrets.map(({ name }) => name);

describe("SDS", () => {
  test("a secret is encoded as Envoy's message, its version is that of its content", () => {
    const message = fromBinary(
      schema<Secret>("envoy.extensions.transport_sockets.tls.v3.Secret"),
      certificate("CHAIN").bytes,
    );
    expect(message).toMatchObject({
      name: "default",
      type: {
        case: "tlsCertificate",
        value: {
          certificateChain: { specifier: { case: "inlineBytes", value: new Uint8Array(Buffer.from("CHAIN")) } },
          privateKey: { specifier: { case: "inlineBytes", value: new Uint8Array(Buffer.from("KEY")) } },
        },
      },
    });
    expect(certificate("a").version).toBe(certificate("a").version);
    expect(certificate("a").version).not.toBe(certificate("b").version);
  });

  test.each(["delta", "sotw"] as const)("%s: a secret is sent once, and again when it changes", (mode) => {
    const subscription = new SecretSubscription(mode);
    subscription.add("default");
    expect(sentNames(subscription)).toBeUndefined();
    subscription.update(certificate("a"));
    expect(sentNames(subscription)).toEqual(["default"]);
    subscription.update(certificate("a"));
    expect(sentNames(subscription)).toBeUndefined();
    subscription.update(certificate("b"));
    expect(sentNames(subscription)).toEqual(["default"]);
  });

  test("sotw sends the whole world, delta the difference; nonces differ", () => {
    for (const [mode, expected] of [
      ["sotw", ["default", "ROOTCA"]],
      ["delta", ["default"]],
    ] as const) {
      const subscription = new SecretSubscription(mode);
      subscription.setNames(["default", "ROOTCA"]);
      subscription.update(certificate("a"));
      subscription.update(roots);
      const first = subscription.next(serves);
      expect(first?.secrets).toHaveLength(2);
      subscription.update(certificate("b"));
      const second = subscription.next(serves);
      expect(second?.secrets.map(({ name }) => name)).toEqual(expected);
      expect(second?.nonce).not.toBe(first?.nonce);
      expect(second?.version).not.toBe(first?.version);
    }
  });

  test("what nobody asked for, or no longer asks for, is not sent", () => {
    const subscription = new SecretSubscription("sotw");
    subscription.setNames(["default"]);
    subscription.update(roots);
    expect(sentNames(subscription)).toBeUndefined();
    subscription.setNames([]);
    subscription.update(certificate("a"));
    expect(sentNames(subscription)).toBeUndefined();
  });

  test("delta: a name that does not exist is removed once, one that only is not there yet is waited for", () => {
    const subscription = new SecretSubscription("delta");
    subscription.add("default");
    subscription.add("kubernetes://nobody");
    expect(subscription.next(serves)).toMatchObject({ secrets: [], removed: ["kubernetes://nobody"] });
    expect(subscription.next(serves)).toBeUndefined();
  });

  test("delta: a client that comes back with the current version is told nothing, one that asks again is", () => {
    const subscription = new SecretSubscription("delta");
    subscription.add("default");
    subscription.setInitialVersions({ default: certificate("a").version });
    subscription.update(certificate("a"));
    expect(sentNames(subscription)).toBeUndefined();
    subscription.add("default");
    expect(sentNames(subscription)).toEqual(["default"]);
  });
});

import { describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import type { CertificateAuthority, SigningMaterial } from "./certificate-authority.ts";
import { followAuthority } from "./followed-authority.ts";
import { createKeyPair } from "./keys.ts";
import { selfSignedRoot } from "./signing-material.ts";

const OVERLAP_MS = 15_000;

async function world() {
  const runtime = simulatedRuntime();
  const makeRoot = async (): Promise<SigningMaterial> => {
    const { privateKey: key } = await createKeyPair("ECDSA_P256");
    const certificate = selfSignedRoot(key, "example.org", runtime.clock.now());
    return { certificate, key, intermediates: [], roots: [certificate] };
  };
  const [a, b, c] = [await makeRoot(), await makeRoot(), await makeRoot()];
  const names = new Map([a, b, c].map(({ certificate }, index) => [certificate.sha256, "ABC"[index] ?? "?"]));
  const changes: string[] = [];
  const told = ({ signer, roots }: CertificateAuthority): string =>
    `${names.get(signer)} of ${roots.map(({ sha256 }) => names.get(sha256)).join("")}`;
  const followed = followAuthority({
    clock: runtime.clock,
    material: a,
    onChange: (authority) => void changes.push(told(authority)),
  });
  /** Signs with the first, trusts all. */
  const signedBy = (first: SigningMaterial, ...more: readonly SigningMaterial[]): SigningMaterial => ({
    ...first,
    roots: [first, ...more].map(({ certificate }) => certificate),
  });
  return { runtime, followed, changes, signedBy, a, b, c, now: () => told(followed.current) };
}

describe("a certificate authority that is followed", () => {
  test("a root that is added is trusted at once; what was switched to when everybody knows it signs at once", async () => {
    const { followed, changes, signedBy, a, b } = await world();
    followed.replace(signedBy(a, b));
    expect(changes).toEqual(["A of AB"]);
    followed.replace(signedBy(b, a));
    expect(changes).toEqual(["A of AB", "B of BA"]);
  });

  test("a root that is dropped is trusted until those that have its certificates have had time for new ones", async () => {
    const { runtime, followed, now, signedBy, a, b } = await world();
    followed.replace(signedBy(a, b));
    followed.replace(signedBy(b, a));
    followed.replace(signedBy(b));
    expect(now()).toBe("B of BA");
    await runtime.advance(OVERLAP_MS);
    expect(now()).toBe("B of B");
  });

  test("one root in the place of another: both are trusted first, then the new one signs, then the old one goes", async () => {
    const { runtime, followed, changes, b } = await world();
    followed.replace(b);
    await runtime.advance(OVERLAP_MS - 1);
    expect(changes).toEqual(["A of AB"]);
    await runtime.advance(1);
    expect(changes).toEqual(["A of AB", "B of BA"]);
    await runtime.advance(OVERLAP_MS);
    expect(changes).toEqual(["A of AB", "B of BA", "B of B"]);
  });

  test("a change in the midst of another begins from what is in force", async () => {
    const { runtime, followed, changes, b, c } = await world();
    followed.replace(b);
    await runtime.advance(1000);
    followed.replace(c);
    await runtime.advance(3 * OVERLAP_MS);
    expect(changes).toEqual(["A of AB", "A of ABC", "C of CAB", "C of C"]);
  });

  test("a signer that has ended is not kept for the overlap", async () => {
    const { runtime, followed, changes, b } = await world();
    const tenYearsMs = 3650 * 24 * 3_600_000;
    const fresh = { ...b };
    await runtime.advance(tenYearsMs);
    followed.replace(fresh);
    expect(changes).toEqual(["B of BA"]);
  });

  test("the same again is no change; after the end nothing follows", async () => {
    const { runtime, followed, changes, a, b } = await world();
    followed.replace({ ...a });
    expect(changes).toEqual([]);
    followed.replace(b);
    followed.close();
    await runtime.advance(3 * OVERLAP_MS);
    expect(changes).toEqual(["A of AB"]);
  });
});

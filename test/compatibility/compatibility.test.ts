import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { typeNameOf } from "#protos/type-url.ts";
import { standardHttpFilters } from "#proxy/http/filters/standard-filters.ts";
import { builtInNetworkFilters } from "#proxy/network/built-in.ts";
import { accountOfMessages, type MessageAccount } from "./account.ts";
import { differences, differencesIn } from "./differences.ts";
import { compatibilityPage } from "./page.ts";

describe("the fields of the xDS API", () => {
  let accounts: ReadonlyMap<string, MessageAccount> = new Map();
  const verdict = (type: string, field: string): string | undefined =>
    accounts.get(type)?.fields.get(field)?.verdict.kind;

  beforeAll(() => {
    accounts = accountOfMessages();
  }, 240_000);

  test("each is read, without effect for a reason, or refused by name", () => {
    const unknown = [...accounts].flatMap(([type, { fields }]) =>
      [...fields].flatMap(
        ([
          name,
          {
            verdict: { kind, ...rest },
          },
        ]) => (kind === "unknown" ? [`${type}.${name}: ${JSON.stringify(rest)}`] : []),
      ),
    );
    expect(unknown).toEqual([]);
  });

  test("a field counts as read only where a parser looked at it", () => {
    expect(verdict("envoy.config.cluster.v3.Cluster", "connect_timeout")).toBe("read");
    expect(verdict("envoy.config.cluster.v3.Cluster", "lrs_server")).toBe("refused");
    expect(verdict("envoy.config.listener.v3.Listener", "connection_balance_config")).toBe("ignored");
    expect(verdict("envoy.config.listener.v3.Listener", "udp_listener_config")).toBe("refused");
    expect(verdict("envoy.type.v3.FractionalPercent", "denominator")).toBe("read");
    expect(accounts.get("envoy.config.listener.v3.FilterChain")?.fields.get("filters")?.types).toContain(
      "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    );
  });

  test("every filter is listed", () => {
    const http = standardHttpFilters().all.flatMap(({ typeUrls }) => typeUrls);
    const network = builtInNetworkFilters.flatMap(({ typeUrls }) => typeUrls);
    const missing = [...http, ...network].map(typeNameOf).filter((name) => !accounts.has(name));
    expect(missing).toEqual([]);
  });

  test("docs/compatibility.md says so (node test/compatibility/write.ts)", () => {
    const page = readFileSync(new URL("../../docs/compatibility.md", import.meta.url), "utf8");
    expect(page).toBe(compatibilityPage(accounts, differences()));
  });
});

describe("Differs from Envoy", () => {
  test("a comment is taken to its end", () => {
    const source =
      "/** Says this. Differs from Envoy: it\n * goes on. */\na();\n// Differs from Envoy: one line\n// and another.\nb();\n";
    expect(differencesIn(source, "x.ts").map(({ text }) => text)).toEqual([
      "Differs from Envoy: it goes on.",
      "Differs from Envoy: one line and another.",
    ]);
  });
});

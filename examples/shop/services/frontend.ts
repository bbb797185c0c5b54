/** The shop's page: gathers what the others know. `/checkout` pays; everything else shows the shelf. */
import { me, serve } from "./service.ts";

serve(async (call) => {
  if (call.url.pathname === "/checkout") {
    const [payment, shipping] = await Promise.all([
      call.get("http://payment-api/api/payments"),
      call.get("http://shipping/quote"),
    ]);
    const ok = payment.status === 200 && shipping.status === 200;
    return { status: ok ? 200 : 502, body: { from: me, payment, shipping } };
  }
  const [catalog, recommendations] = await Promise.all([
    call.get("http://catalog/items"),
    call.get("http://recommendations/for-you"),
  ]);
  const ok = catalog.status === 200;
  return { status: ok ? 200 : 502, body: { from: me, catalog, recommendations } };
});

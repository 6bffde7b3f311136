"""An artificial shop with a known cause: products, coupons, customers, and what they bought and redeemed."""

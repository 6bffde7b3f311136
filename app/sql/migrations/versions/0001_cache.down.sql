DROP TABLE coupon_product, coupon_info, product_info, customer_info, customer_fetch, customer_info_text;
DROP FUNCTION notify_catalogue_changed();

"""What the artificial shop sells: categories by department, and the words that product names are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LETTERS, ONE_SIZE = "XS-XXL", "One size"
KIDS, KIDS_SHOES = "4-14 years", "28-38"
WOMEN_SHOES, MEN_SHOES, WAIST = "36-42", "40-47", "28-40"


@dataclass(frozen=True, slots=True)
class Category:
    """One kind of product; `price` is what a usual one costs."""

    name: str
    items: Sequence[str]
    materials: Sequence[str]
    sizes: str
    price: float


CATEGORIES: Mapping[str, Sequence[Category]] = {
    "Boys": (
        Category("Boys T-Shirts", ("T-Shirt", "Polo Shirt", "Long Sleeve"), ("Cotton", "Jersey"), KIDS, 11),
        Category("Boys Trousers", ("Jeans", "Chinos", "Joggers"), ("Denim", "Cotton"), KIDS, 22),
        Category("Boys Jackets", ("Parka", "Rain Jacket", "Hoodie"), ("Fleece", "Nylon"), KIDS, 38),
        Category("Boys Shoes", ("Sneakers", "Boots", "Sandals"), ("Canvas", "Leather"), KIDS_SHOES, 32),
        Category("Boys School", ("School Shirt", "Backpack", "Pullover"), ("Cotton", "Wool"), KIDS, 20),
    ),
    "Girls": (
        Category("Girls Tops", ("T-Shirt", "Blouse", "Tunic"), ("Cotton", "Jersey"), KIDS, 12),
        Category("Girls Dresses", ("Summer Dress", "Party Dress", "Skirt"), ("Cotton", "Tulle"), KIDS, 27),
        Category("Girls Jackets", ("Parka", "Raincoat", "Cardigan"), ("Fleece", "Wool"), KIDS, 37),
        Category("Girls Shoes", ("Sneakers", "Ballerinas", "Boots"), ("Canvas", "Leather"), KIDS_SHOES, 31),
        Category("Girls School", ("School Blouse", "Backpack", "Pullover"), ("Cotton", "Wool"), KIDS, 20),
    ),
    "Men": (
        Category("Men Shirts", ("Shirt", "Polo Shirt", "Oxford Shirt"), ("Cotton", "Linen"), LETTERS, 32),
        Category("Men Trousers", ("Jeans", "Chinos", "Cords"), ("Denim", "Cotton"), WAIST, 48),
        Category("Men Suits", ("Blazer", "Waistcoat", "Suit Jacket"), ("Wool", "Tweed"), LETTERS, 115),
        Category("Men Shoes", ("Derbies", "Loafers", "Sneakers"), ("Leather", "Suede"), MEN_SHOES, 74),
        Category("Men Accessories", ("Belt", "Scarf", "Wallet"), ("Leather", "Wool"), ONE_SIZE, 24),
    ),
    "Sports": (
        Category("Running", ("Running Shoes", "Running Tights", "Running Vest"), ("Mesh", "Nylon"), LETTERS, 58),
        Category("Football", ("Football Boots", "Jersey", "Shin Guards"), ("Mesh", "Polyester"), LETTERS, 36),
        Category("Cycling", ("Helmet", "Cycling Shorts", "Gloves"), ("Lycra", "Carbon"), LETTERS, 52),
        Category("Fitness", ("Yoga Mat", "Dumbbells", "Training Shorts"), ("Rubber", "Cotton"), ONE_SIZE, 26),
        Category("Outdoor", ("Hiking Boots", "Tent", "Softshell"), ("Nylon", "Fleece"), LETTERS, 88),
    ),
    "Women": (
        Category("Women Tops", ("Blouse", "T-Shirt", "Tunic"), ("Silk", "Cotton"), LETTERS, 27),
        Category("Women Dresses", ("Summer Dress", "Evening Dress", "Skirt"), ("Viscose", "Linen"), LETTERS, 54),
        Category("Women Coats", ("Trench Coat", "Wool Coat", "Blazer"), ("Wool", "Cotton"), LETTERS, 104),
        Category("Women Shoes", ("Pumps", "Ankle Boots", "Sneakers"), ("Leather", "Suede"), WOMEN_SHOES, 68),
        Category("Women Bags", ("Handbag", "Tote", "Clutch"), ("Leather", "Canvas"), ONE_SIZE, 49),
    ),
}

STYLES = ("Classic", "Slim", "Relaxed", "Light", "Everyday", "Soft", "Modern", "Vintage", "Printed", "Plain")
COLOURS = ("Black", "Navy", "Grey", "White", "Olive", "Red", "Sand", "Teal", "Plum", "Sky Blue")
CARE = ("machine washable at 30 degrees", "machine washable at 40 degrees", "hand wash only", "wipe clean")

# With the vendor's price level: 1 is the shop's usual one.
VENDORS: Mapping[str, float] = {
    "Alderbrook": 0.7,
    "Brightwell & Sons": 1.25,
    "Calder Mill": 0.85,
    "Dunmore": 1.0,
    "Eastgate Basics": 0.6,
    "Fenwick Lane": 1.1,
    "Gable & Thorn": 1.5,
    "Harrowfield": 0.95,
    "Ivystone": 1.35,
    "Juniper Row": 0.8,
    "Kestrel Works": 1.15,
    "Larkhill": 0.9,
    "Marlow Vale": 1.7,
    "Northmoor": 1.05,
}
